// The Redis serialization protocol: https://redis.io/docs/latest/develop/reference/protocol-spec/

const lineEnd = Buffer.from("\r\n");

/** Encodes a command. */
export function encode(command: readonly (string | Buffer)[]): Buffer {
  const parts: Buffer[] = [Buffer.from(`*${command.length}\r\n`)];
  for (const argument of command) {
    const bytes = typeof argument === "string" ? Buffer.from(argument) : argument;
    parts.push(Buffer.from(`$${bytes.length}\r\n`), bytes, lineEnd);
  }
  return Buffer.concat(parts);
}

/** Takes all complete commands off what a client has sent. */
export function parseCommands(bytes: Buffer): { commands: string[][]; rest: Buffer } {
  const commands: string[][] = [];
  let position = 0;
  for (;;) {
    const parsed = parseCommand(bytes, position);
    if (parsed === undefined) return { commands, rest: bytes.subarray(position) };
    commands.push(parsed.command);
    position = parsed.end;
  }
}

function parseCommand(bytes: Buffer, start: number): { command: string[]; end: number } | undefined {
  const head = readLine(bytes, start);
  if (head === undefined) return undefined;
  // An inline command, as people type it.
  if (!head.text.startsWith("*")) return { command: head.text.split(" "), end: head.end };
  const command: string[] = [];
  let position = head.end;
  for (let left = Number(head.text.slice(1)); left > 0; left -= 1) {
    const line = readLine(bytes, position);
    if (line === undefined) return undefined;
    const end = line.end + Number(line.text.slice(1));
    if (end + 2 > bytes.length) return undefined;
    // One character per byte: nothing is lost in whatever encoding.
    command.push(bytes.toString("latin1", line.end, end));
    position = end + 2;
  }
  return { command, end: position };
}

/** Returns where the reply that begins at `start` ends; `undefined` if it is incomplete. */
export function endOfReply(bytes: Buffer, start: number): number | undefined {
  const line = readLine(bytes, start);
  if (line === undefined) return undefined;
  const kind = line.text[0];
  const size = Number(line.text.slice(1));
  if (kind === "$") {
    const end = size < 0 ? line.end : line.end + size + 2;
    return end > bytes.length ? undefined : end;
  }
  if (kind !== "*") return line.end;
  let position: number | undefined = line.end;
  for (let left = size; left > 0 && position !== undefined; left -= 1) position = endOfReply(bytes, position);
  return position;
}

function readLine(bytes: Buffer, start: number): { text: string; end: number } | undefined {
  const end = bytes.indexOf(lineEnd, start);
  return end === -1 ? undefined : { text: bytes.toString("latin1", start, end), end: end + 2 };
}

/** A parsed reply. Errors are values. */
export type Value = string | number | null | Error | Value[];

/** Decodes one complete reply. Strings have one character per byte. */
export function decode(bytes: Buffer): Value {
  return decodeAt(bytes, 0).value;
}

function decodeAt(bytes: Buffer, start: number): { value: Value; end: number } {
  const line = readLine(bytes, start) ?? { text: "-ERR incomplete", end: bytes.length };
  const rest = line.text.slice(1);
  switch (line.text[0]) {
    case "+":
      return { value: rest, end: line.end };
    case "-":
      return { value: new Error(rest), end: line.end };
    case ":":
      return { value: Number(rest), end: line.end };
    case "$": {
      const size = Number(rest);
      if (size < 0) return { value: null, end: line.end };
      return { value: bytes.toString("latin1", line.end, line.end + size), end: line.end + size + 2 };
    }
    default: {
      if (Number(rest) < 0) return { value: null, end: line.end };
      const items: Value[] = [];
      let end = line.end;
      for (let left = Number(rest); left > 0; left -= 1) {
        const item = decodeAt(bytes, end);
        items.push(item.value);
        end = item.end;
      }
      return { value: items, end };
    }
  }
}

/** Encodes a reply. */
export function reply(value: Value): Buffer {
  if (value === null) return Buffer.from("$-1\r\n");
  if (typeof value === "number") return Buffer.from(`:${value}\r\n`);
  if (value instanceof Error) return Buffer.from(`-${value.message}\r\n`);
  if (typeof value === "string") return Buffer.concat([Buffer.from(`$${value.length}\r\n`), latin1(value), lineEnd]);
  return Buffer.concat([Buffer.from(`*${value.length}\r\n`), ...value.map(reply)]);
}

/** The answer `+OK`. */
export const ok = Buffer.from("+OK\r\n");

/** Encodes text with one character per byte. */
export function latin1(text: string): Buffer {
  return Buffer.from(text, "latin1");
}
