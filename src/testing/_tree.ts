/** How a test world shows the tasks that are under way. */
import { groupShown, type OpenGroup } from "../kernel/open_groups.ts";
import type { GroupTree } from "../task/group_options.ts";

function isGroup(found: unknown): found is GroupTree {
  return typeof found === "object" && found !== null && Array.isArray((found as GroupTree).tasks);
}

/**
 * The trees of those of the groups that no task of another waits for: the others stand in the trees of those.
 *
 * @param groups In the order in which they were opened, so that those inside come later.
 */
export function outermost(groups: Iterable<OpenGroup>): GroupTree[] {
  const outer: GroupTree[] = [];
  const inner = new Set<OpenGroup>();
  for (const group of groups) {
    if (inner.has(group)) continue;
    const tree = group.tree();
    if (!isGroup(tree)) continue;
    outer.push(tree);
    const pending = [tree];
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      for (const { waitsFor } of next.tasks) {
        for (const found of waitsFor.filter(isGroup)) {
          const within = groupShown(found);
          if (within !== undefined) inner.add(within);
          pending.push(found);
        }
      }
    }
  }
  return outer;
}

/** More lines than these nobody reads. */
const MAX_LINES = 200;

/** Groups, their tasks and what those wait for, a line each, indented; of very many, the first. */
export function drawTrees(groups: readonly GroupTree[]): string[] {
  const lines: string[] = [];
  let left = 0;
  const pending: { readonly at: GroupTree | GroupTree["tasks"][number]; readonly depth: number }[] = [];
  const addAll = (all: readonly (typeof pending)[number]["at"][], depth: number): void => {
    for (let i = all.length - 1; i >= 0; i--) pending.push({ at: all[i]!, depth });
  };
  addAll(groups, 1);
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const { at, depth } = next;
    if (lines.length >= MAX_LINES) left++;
    else lines.push("  ".repeat(depth) + (isGroup(at) ? drawGroup(at) : drawTask(at)));
    addAll(isGroup(at) ? at.tasks : at.waitsFor.filter(isGroup), depth + 1);
  }
  if (left > 0) lines.push(`  … and ${left} more groups and tasks: all of them are in the error's state`);
  return lines;
}

function drawGroup({ group, state, tasks }: GroupTree): string {
  return `group ${JSON.stringify(group)}, ${state}${tasks.length === 0 ? ", no task" : ""}`;
}

function drawTask({ name, state, daemon, ageMs, waitsFor }: GroupTree["tasks"][number]): string {
  const waits = waitsFor.filter((found) => typeof found === "string");
  const what = `${daemon ? "daemon" : "task"} ${JSON.stringify(name)}, ${state}, ${ageMs} ms old`;
  return waits.length === 0 ? what : `${what}, waits for: ${waits.join(", ")}`;
}
