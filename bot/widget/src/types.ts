/** The messages of the public API (docs/api.md), as far as the widget reads them. */

export interface Choice {
  id: string;
  label: string;
}

/** The part of a policy answer that rests on one measure. */
export interface Section {
  measure: number;
  title: string;
  say: string;
  conditions: string[];
  note: string;
  clause: string;
  specified: boolean;
}

/** One line of a running intake; `value` is masked by the server. */
export interface KnownField {
  field: string;
  label: string;
  value: string;
  /** False for a line of the summary that says that nothing was given. */
  filled: boolean;
}

export interface IntakeCard {
  type: string;
  step: "collecting" | "review";
  asked: string;
  name?: string;
  known?: KnownField[];
  missing?: string[];
}

export interface ReceiptCase {
  number: string;
  type: string;
  sms_code: string;
  registered_at: string;
  meaning: string;
  deadlines: string[];
  query_code?: string | null;
}

export interface ReceiptCard {
  numbers: string[];
  sms_code?: string;
  deadlines?: string[];
  cases?: ReceiptCase[];
}

export interface Card {
  sections?: Section[];
  call?: string[];
  privacy?: string;
  intake?: IntakeCard;
  receipt?: ReceiptCard;
  /** The service has ended: the citizen is asked how it was. */
  rating?: boolean;
}

export interface Attachment {
  id: string;
  name: string;
  type: string;
  size: number;
}

export interface Message {
  seq: number;
  author: "user" | "bot" | "staff" | "system";
  text: string;
  /** Of the staff member who said it. */
  name?: string;
  created_at: string;
  choices: Choice[];
  answer?: { kind: string; citations?: { document: string; measure: number }[] };
  card?: Card;
  attachments?: Attachment[];
  client_message_id?: string;
}

/** The open conversation; the token opens it and nothing else. */
export interface Talk {
  id: string;
  token: string;
}

export interface Queue {
  place: number;
  wait_minutes: number | null;
}

export interface Owner {
  owner: "bot" | "person";
  name: string | null;
  queue: Queue | null;
}

/** Something the citizen sent that the server has not confirmed. Kept in localStorage until it has. */
export interface Item {
  id: string;
  text: string;
  choice?: string;
  file?: File;
  isFile?: boolean;
  at: number;
  after: number;
  state: "queued" | "sending" | "failed";
  problem?: string;
  /** Failed for want of a network: sent again by itself when it is back. */
  network?: boolean;
  /** The server will never take it as it is. */
  final?: boolean;
}
