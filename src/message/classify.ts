import type { Lane, MailMessageInput } from './message.js';

/** Which lane a message takes, and why. */
export interface Decision {
  lane: Lane;
  /** What decided, for logs and events: `message`, `mail class`, `classify: <function>` or `defaultLane`. */
  by: string;
  /** The message to go on with. */
  message: MailMessageInput;
}

export interface LaneRules {
  defaultLane: Lane;
}

/** Decides on the lane of a message, before it is validated. */
export function decideLane(message: MailMessageInput, rules: LaneRules, ofMailClass?: Lane): Decision {
  const { lane } = message ?? {};
  if (lane !== undefined && lane !== null) return { lane, by: 'message', message };
  if (ofMailClass !== undefined) return { lane: ofMailClass, by: 'mail class', message };
  return { lane: rules.defaultLane, by: 'defaultLane', message };
}
