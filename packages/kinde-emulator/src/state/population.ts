import { seedOrganizations, seedPermissions, seedRoles } from "./catalogue.ts";
import { mix } from "./random.ts";
import { createUserIds, customerIdOf, type UserIds } from "./user-ids.ts";
import type { IdentityState, Membership, UserState } from "./user-state.ts";

/** Seeded users. Each is computed from the seed and its index on demand, so none is stored. */
export interface Population extends UserIds {
  userAt(index: number, id?: string): UserState;
  membershipsAt(index: number): readonly Membership[];
  /** Returns the indexes of an organization's seeded members, in order. The first call takes a walk over all users. */
  membersOf(code: string): readonly number[];
  /** Returns the index encoded in a seeded email address or username. */
  indexOfIdentity(identity: string): number | undefined;
}

export const FIRST_NAMES = (
  "Ada Aisha Alba Amara Amir Ana Andre Anika Arjun Astrid Ava Ben Beatriz Bo Carla Chidi Chloe Clara Daan Daniel Diego " +
  "Dina Elena Eli Elif Emeka Emma Erik Esra Eva Farah Felix Fatima Freya Gita Grace Hana Hugo Ines Isla Ivan Jack Jada " +
  "Jana Jonas Julia Kai Kamal Kara Kenji Lars Laila Leo Lena Liam Lin Lucia Luka Maeve Malik Maria Mateo Maya Mei Mia " +
  "Mila Nadia Nia Nils Noah Nora Olga Omar Oscar Paula Petra Priya Rafa Rania Remy Rosa Ruby Sami Sara Sean Sofia Tara " +
  "Tomas Uma Vera Viktor Wei Willa Yara Yuki Yusuf Zara Zoe"
).split(" ");

export const LAST_NAMES = (
  "Abbas Adams Adeyemi Ahmed Almeida Andersson Bakker Barros Becker Bell Berg Bianchi Brown Campbell Chen Clarke Cohen " +
  "Costa Cruz Dahl Davies Diaz Diallo Dubois Edwards Eriksen Evans Farouk Fernandez Fischer Foster Garcia Gomez Gupta " +
  "Haddad Hansen Hassan Hernandez Hughes Ibrahim Ito Ivanov Jansen Jensen Jones Kaya Keller Khan Kim Kowalski Kumar " +
  "Larsen Laurent Lee Lopez Malik Martin Mbeki Meyer Mori Morris Murphy Nakamura Navarro Nguyen Nielsen Novak Okafor " +
  "Olsen Ortiz Osman Park Patel Pereira Petrov Popescu Quinn Rahman Ramos Rossi Ruiz Ryan Santos Sato Schmidt Silva " +
  "Singh Smith Sousa Suzuki Tanaka Taylor Torres Tran Vargas Virtanen Walker Wang Weber Wilson Wong Yilmaz Zhang"
).split(" ");

const DOMAINS = "example.com example.org example.net mail.example studio.example works.example".split(" ");

const DAY = 86_400_000;
const FIRST_DAY = Date.UTC(2023, 0, 1);
const CREATION_DAYS = 1000;
const SIGN_IN_DAYS = 300;
const TIERS = ["free", "free", "free", "free", "free", "free", "pro", "pro", "pro", "enterprise"];
const REGIONS = ["eu", "eu", "eu", "us", "us", "us", "us", "uk", "au", "apac"];
const NONE: readonly Membership[] = [];
const NO_FLAGS = {};

const pick = <T>(list: readonly T[], draw: number, fallback: T): T => list[draw % list.length] ?? fallback;
const slug = (name: string) => name.toLowerCase();

export function createPopulation(size: number, seed: number): Population {
  const ids = createUserIds(size, seed);
  const salt = mix(seed ^ 0x2545f491);
  const membershipsAt = createMemberships(size, seed);
  const date = createDates();
  const firsts = FIRST_NAMES.map((name) => ({ name, slug: slug(name) }));
  const lasts = LAST_NAMES.map((name) => ({ name, slug: slug(name) }));

  const userAt = (index: number, id = ids.idAt(index)): UserState => {
    const a = mix(index ^ salt);
    const b = mix(a + 1);
    const c = mix(a + 2);
    const first = pick(firsts, a, { name: "Ada", slug: "ada" });
    const last = pick(lasts, a >>> 12, { name: "Abbas", slug: "abbas" });
    const email = `${first.slug}.${last.slug}${index}@${pick(DOMAINS, b, "example.com")}`;
    const username = b % 10 < 7 ? `${first.slug}_${last.slug}${index}` : null;
    const phone = (b >>> 8) % 5 === 0 ? `+614${String(index % 100_000_000).padStart(8, "0")}` : null;
    const created = c % CREATION_DAYS;
    const tier = pick(TIERS, c >>> 20, "free");
    return {
      id,
      providedId: (b >>> 4) % 8 === 0 ? `legacy-${index}` : null,
      email,
      phone,
      username,
      firstName: first.name,
      lastName: last.name,
      isSuspended: (c >>> 10) % 100 === 0,
      isPasswordResetRequested: false,
      picture: b % 4 === 0 ? `https://img.example/${index}.png` : null,
      totalSignIns: (b >>> 16) % 200,
      failedSignIns: (b >>> 24) % 4,
      lastSignedIn: (b >>> 16) % 200 === 0 ? null : date(created + (a % SIGN_IN_DAYS), b),
      createdOn: date(created, a),
      properties: propertiesOf(tier, c),
      featureFlags: NO_FLAGS,
      memberships: membershipsAt(index),
      identities: identitiesOf(email, username, phone),
      billing: tier === "free" ? null : billingOf(id, tier, date(created, a)),
    };
  };

  return {
    ...ids,
    userAt,
    membershipsAt,
    membersOf: createMemberIndex(size, membershipsAt),
    indexOfIdentity: (identity) => {
      const index = Number(/(?<!\d)(\d+)(?:@|$)/.exec(identity)?.[1] ?? Number.NaN);
      return Number.isSafeInteger(index) && index < size ? index : undefined;
    },
  };
}

/** Formats dates from lookup tables: `toISOString` would take a fifth of the time of listing a million users. */
function createDates(): (day: number, draw: number) => string {
  const iso = (at: number) => new Date(at).toISOString();
  const days = Array.from({ length: CREATION_DAYS + SIGN_IN_DAYS }, (_, day) =>
    iso(FIRST_DAY + day * DAY).slice(0, 10),
  );
  const times = Array.from({ length: 4096 }, (_, index) => iso(mix(index) % DAY).slice(10));
  return (day, draw) => `${days[day] ?? ""}${times[draw % times.length] ?? ""}`;
}

function propertiesOf(tier: string, draw: number): Record<string, string> {
  const region = pick(REGIONS, draw >>> 12, "eu");
  const onboarded = draw % 10;
  // A tenth of the users have no `onboarded` value, as in a tenant older than its onboarding flow.
  if (onboarded === 0) return { plan_tier: tier, compliance_region: region };
  return { onboarded: onboarded < 8 ? "true" : "false", plan_tier: tier, compliance_region: region };
}

function identitiesOf(email: string, username: string | null, phone: string | null): IdentityState[] {
  const identities: IdentityState[] = [{ type: "email", identity: email }];
  if (username !== null) identities.push({ type: "username", identity: username });
  if (phone !== null) identities.push({ type: "phone", identity: phone });
  return identities;
}

function billingOf(userId: string, planCode: string, startedOn: string) {
  const hex = userId.slice(3);
  return {
    customerId: customerIdOf(userId),
    agreements: [
      {
        id: `agreement_${hex}`,
        planCode,
        startedOn,
        expiresOn: null,
        billingGroupId: `sbg_${hex}`,
      },
    ],
  };
}

function createMemberIndex(size: number, membershipsAt: Population["membershipsAt"]): Population["membersOf"] {
  let members: Map<string, number[]> | undefined;
  const build = () => {
    const built = new Map<string, number[]>();
    for (let index = 0; index < size; index += 1) {
      for (const { code } of membershipsAt(index)) {
        const indexes = built.get(code);
        if (indexes === undefined) built.set(code, [index]);
        else if (indexes.at(-1) !== index) indexes.push(index);
      }
    }
    return built;
  };
  return (code) => {
    members ??= build();
    return members.get(code) ?? [];
  };
}

/** 25 % of the users belong to no organization, 60 % to one and 15 % to two. A few hold a direct permission. */
function createMemberships(size: number, seed: number): (index: number) => readonly Membership[] {
  if (size === 0) return () => NONE;
  const salt = mix(seed ^ 0x1b873593);
  const codes = seedOrganizations(size, seed).map(({ code }) => code);
  const roles = seedRoles().map(({ id }) => [id]);
  const exporting = seedPermissions()
    .filter(({ key }) => key === "reports:export")
    .map(({ id }) => id);
  const none: string[] = [];

  const membership = (draw: number, orgIndex: number): Membership => {
    const rank = (draw >>> 20) % 10;
    return {
      code: codes[orgIndex % codes.length] ?? "",
      roleIds: roles[rank < 7 ? 0 : rank < 9 ? 1 : 2] ?? none,
      permissionIds: draw % 20 === 0 ? exporting : none,
      joinedOn: "2024-02-03T04:05:06.000000+00:00",
    };
  };
  return (index) => {
    const draw = mix(index ^ salt);
    const share = (draw >>> 4) % 100;
    if (share < 25) return NONE;
    const home = mix(draw + 1) % codes.length;
    if (share < 85) return [membership(draw, home)];
    return [membership(draw, home), membership(mix(draw), home + 1)];
  };
}
