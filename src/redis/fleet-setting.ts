import { isDeepStrictEqual } from "node:util";
import type { RedisClient } from "./client.ts";
import type { StoredShape } from "./stored.ts";

/** A setting that applies to the whole fleet, although each process has its own. */
export interface FleetSetting<Value extends object> {
  /** Returns the fleet's value. Call it repeatedly: it is cheap, and a Redis that lost its data has lost the value too. */
  read(): Promise<Value>;
  /** Returns the fleet's value without taking part in the choice, as a command does; this process's own before there is one. */
  peek(): Promise<Value>;
}

/** Options for {@link createFleetSetting}. */
export interface FleetSettingOptions<Value extends object> {
  redis: RedisClient;
  key: string;
  shape: StoredShape<Value>;
  /** This process's value. */
  own: Value;
  /** Called once for each other value that the fleet adopts. */
  onOther: (fleet: Value) => void;
}

/** Creates a setting. If processes differ, the one that started last decides for all. */
export function createFleetSetting<Value extends object>(options: FleetSettingOptions<Value>): FleetSetting<Value> {
  const { redis, key, shape, own, onOther } = options;
  const ownText = shape.serialize(own);
  let announced = false;
  let told = own;
  const readFleet = async (): Promise<Value> => {
    if (!announced) await redis.set(key, ownText);
    announced = true;
    const stored = shape.parse(await redis.get(key));
    if (stored !== undefined) return stored;
    // A wiped Redis: the first to notice decides.
    await redis.set(key, ownText, "NX");
    return shape.parse(await redis.get(key)) ?? own;
  };
  return {
    async read() {
      const fleet = await readFleet();
      if (!isDeepStrictEqual(fleet, told) && !isDeepStrictEqual(fleet, own)) onOther(fleet);
      told = fleet;
      return fleet;
    },
    peek: async () => shape.parse(await redis.get(key)) ?? own,
  };
}
