import { mix } from "./random.ts";

const PREFIX_SPACE = 2 ** 48;

/** Ids of the population: `kp_` and 32 hexadecimal digits, sorted by index, converted both ways without a map. */
export interface UserIds {
  readonly size: number;
  idAt(index: number): string;
  indexOf(id: string): number | undefined;
  /** Returns the first index whose id sorts after `id`. */
  firstAfter(id: string): number;
}

export function createUserIds(size: number, seed: number): UserIds {
  const step = Math.floor(PREFIX_SPACE / Math.max(size, 1));
  const salt = mix(seed ^ 0x5bd1e995);
  const bytes = Buffer.alloc(16);

  const idAt = (index: number): string => {
    const hash = mix(index ^ salt);
    const prefix = index * step + Math.floor(step * (hash / 0x1_0000_0000));
    bytes.writeUIntBE(prefix, 0, 6);
    bytes.writeUInt32BE(mix(hash + 1), 6);
    bytes.writeUInt32BE(mix(hash + 2), 10);
    bytes.writeUInt16BE(mix(hash + 3) & 0xffff, 14);
    return `kp_${bytes.toString("hex")}`;
  };
  const slotOf = (id: string) => Math.min(Math.floor(Number.parseInt(id.slice(3, 15), 16) / step), size - 1);

  return {
    size,
    idAt,
    indexOf: (id) => {
      if (size === 0 || !/^kp_[0-9a-f]{32}$/.test(id)) return undefined;
      const index = slotOf(id);
      return idAt(index) === id ? index : undefined;
    },
    // Compares ids instead of computing the slot: an id given by the caller can have any format.
    firstAfter: (id) => {
      let low = 0;
      let high = size;
      while (low < high) {
        const middle = Math.floor((low + high) / 2);
        if (idAt(middle) > id) high = middle;
        else low = middle + 1;
      }
      return low;
    },
  };
}

const CUSTOMER_PREFIX = "customer_";

/** Returns the id of a user's billing customer. {@link userIdOfCustomer} inverts it, so no index is needed. */
export const customerIdOf = (userId: string): string => CUSTOMER_PREFIX + swapHalves(userId.slice(3));

export const userIdOfCustomer = (customerId: string): string =>
  `kp_${swapHalves(customerId.slice(CUSTOMER_PREFIX.length))}`;

const swapHalves = (hex: string) => hex.slice(16) + hex.slice(0, 16);
