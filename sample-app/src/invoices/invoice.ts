/** What a member owes for a year. */
export interface Invoice {
  /** Such as `2026-0017`. */
  number: string;
  email: string;
  /** Euros. */
  amount: number;
}
