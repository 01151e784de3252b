/** The names of the records beside the queue. */
export const keys = {
  /** A batch's facts: one field a checkpoint. */
  ledger: (batch: string) => `ledger/${batch}`,
  /** Messages of a batch that somebody cancelled, by their place. */
  marks: (batch: string) => `marks/${batch}`,
  campaign: (id: string) => `campaign/${id}`,
  /** A campaign's batches: one field each, how far it has come. */
  progress: (id: string) => `progress/${id}`,
  /** What a campaign waited for: one field a process. */
  bound: (id: string) => `bound/${id}`,
  /** When and where a campaign stopped, after it was resumed at that time. */
  suspension: (id: string, resumedAt: number) => `suspension/${id}/${resumedAt}`,
  /** What happened in one minute or hour: one field a process. */
  statistics: (unit: 'minute' | 'hour', index: number) => `stats/${unit}/${index}`,
  /** Which events processes want to hear of all others, in this minute: one field a process. */
  listeners: (span: number) => `listeners/${span}`,
  /** Tells that a campaign's completion was told, after so much of it was tried anew. */
  completion: (id: string, reopenings: number) => `completion/${id}/${reopenings}`,
  /** The same for those who only observe. */
  completionSeen: (id: string, reopenings: number) => `completion/${id}/${reopenings}/seen`,
  /** Tells that a pass of a campaign is somebody's. */
  pass: (id: string, pass: number) => `pass/${id}/${pass}`,
  /** Held by the process that is queueing a campaign. */
  producer: (id: string) => `producer/${id}`,
  /** Who sends the mail of an idempotency key, or has sent it. */
  once: (id: string) => `once/${id}`,
  /** The workers that are alive: one field a process, one record for each stretch of time. */
  alive: (page: number) => `alive/${page}`,
  /** When a worker was heard of last. */
  heard: 'heard',
  /** What was reported of a batch's messages, or of one that has an id of its own: one field for each recipient and type. */
  reports: (batch: string) => `reports/${batch}`,
  /** How much was reported of a campaign: one field a batch and writer. */
  reported: (id: string) => `reported/${id}`,
  /** Tells that a report was taken. */
  heardOf: (report: string) => `heard-of/${report}`,
  /** Which message a provider calls so. */
  provider: (id: string) => `provider/${id}`,
  /** The outcome of a priority message. */
  mail: (id: string) => `mail/${id}`,
};
