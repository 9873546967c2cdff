import { setFlagsFromString } from "node:v8";

/**
 * Has this process collect its garbage when the heap has grown by 30 % since the last full collection. V8 waits until it is
 * two to four times as large, which a worker's never needs to be: it is mostly users on their way from Kinde to Redis.
 *
 * @see `bench/README.md` for memory and processor time of a worker with and without it
 */
export function limitHeapGrowth(): void {
  setFlagsFromString("--heap-growing-percent=30");
}
