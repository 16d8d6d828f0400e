/** The task groups that are open: known only while somebody looks, such as a test world that may get stuck. */

/** A group, as far as somebody who looks is concerned. */
export interface OpenGroup {
  tree(): unknown;
}

let watched: Set<OpenGroup> | undefined;

/** Notes a group; costs next to nothing while nobody looks. */
export function groupOpened(group: OpenGroup): void {
  watched?.add(group);
}

/** Forgets a group that has ended. */
export function groupEnded(group: OpenGroup): void {
  watched?.delete(group);
}

/** The groups that were opened since somebody looks and have not ended, in the order in which they were opened. */
export function openGroups(): readonly OpenGroup[] {
  return [...watched ?? []];
}

/** Has groups noted from here on until disposed. */
export function watchGroups(): Disposable {
  const previous = watched;
  watched = new Set();
  return {
    [Symbol.dispose](): void {
      watched = previous;
    },
  };
}

const shown = new WeakMap<object, OpenGroup>();

/** Notes whose tree it is: it is made anew each time, and may stand within that of another group. */
export function noteTree<T extends object>(tree: T, group: OpenGroup): T {
  shown.set(tree, group);
  return tree;
}

/** The group that a tree shows. */
export function groupShown(tree: object): OpenGroup | undefined {
  return shown.get(tree);
}
