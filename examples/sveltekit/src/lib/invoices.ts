/** The studio's invoices: a real app has a database. */
export const invoices = [
  { number: "2026-031", client: "Harbor & Pine", service: "Brand refresh", amount: 4_800, status: "paid" },
  { number: "2026-032", client: "Atelier Noor", service: "Product photography", amount: 1_950, status: "paid" },
  { number: "2026-033", client: "Fjord Cycles", service: "Webshop, second part", amount: 7_200, status: "open" },
  { number: "2026-034", client: "Maison Lune", service: "Packaging", amount: 2_640, status: "overdue" },
] as const;

/** Income of the last months, in euros. */
export const months = [
  { name: "Jun", income: 6_100 },
  { name: "Jul", income: 7_450 },
  { name: "Aug", income: 4_200 },
  { name: "Sep", income: 8_900 },
  { name: "Oct", income: 9_800 },
  { name: "Nov", income: 11_350 },
];

export const euros = (amount: number) => `€${amount.toLocaleString("en-US")}`;
