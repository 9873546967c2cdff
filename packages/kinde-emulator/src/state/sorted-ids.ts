/** A sorted list of ids. It sorts lazily, so a bulk import costs one sort. */
export function createSortedIds() {
  const known = new Set<string>();
  let ids: string[] = [];
  let dirty = false;

  const sorted = (): string[] => {
    if (dirty) ids = ids.slice().sort();
    dirty = false;
    return ids;
  };
  return {
    add: (id: string) => {
      known.add(id);
      ids.push(id);
      dirty = true;
    },
    has: (id: string) => known.has(id),
    size: () => known.size,
    at: (index: number): string | undefined => sorted()[index],
    /** Returns the index of the first id that sorts after `id`. */
    firstAfter: (id: string): number => {
      const list = sorted();
      let low = 0;
      let high = list.length;
      while (low < high) {
        const middle = (low + high) >>> 1;
        if ((list[middle] ?? "") > id) high = middle;
        else low = middle + 1;
      }
      return low;
    },
  };
}
