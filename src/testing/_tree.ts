/** How a test world shows the tasks that are under way. */
import type { GroupTree } from "../task/group_options.ts";

function isGroup(found: unknown): found is GroupTree {
  return typeof found === "object" && found !== null && Array.isArray((found as GroupTree).tasks);
}

/** Those of the groups that no task of another waits for: the others are in the trees of those. */
export function outermost(groups: Iterable<{ tree(): unknown }>): GroupTree[] {
  const trees = [...groups].map((group) => group.tree()).filter(isGroup);
  // By what they look like, as a tree is made anew each time; of two that look the same either may go.
  const inner = trees.flatMap(({ tasks }) => tasks)
    .flatMap(({ waitsFor }) => waitsFor)
    .filter(isGroup)
    .map((group) => JSON.stringify(group));
  return trees.filter((tree) => {
    const at = inner.indexOf(JSON.stringify(tree));
    if (at >= 0) inner.splice(at, 1);
    return at < 0;
  });
}

/** A group, its tasks and what they wait for, a line each, indented. */
export function drawTree(group: GroupTree, indent = "  "): string {
  const lines = [`${indent}group ${JSON.stringify(group.group)}, ${group.state}`];
  if (group.tasks.length === 0) lines[0] += ", no task";
  for (const task of group.tasks) {
    lines.push(`${indent}  ${drawTask(task)}`);
    for (const inner of task.waitsFor.filter(isGroup)) lines.push(drawTree(inner, `${indent}    `));
  }
  return lines.join("\n");
}

function drawTask({ name, state, daemon, ageMs, waitsFor }: GroupTree["tasks"][number]): string {
  const waits = waitsFor.filter((found) => typeof found === "string");
  const what = `${daemon ? "daemon" : "task"} ${JSON.stringify(name)}, ${state}, ${ageMs} ms old`;
  return waits.length === 0 ? what : `${what}, waits for: ${waits.join(", ")}`;
}
