import { LANES, type Lane } from '../../message/message.js';
import { fail, type OptionReader } from './reader.js';

/** The lanes that one transport serves. @throws MailConfigError */
export function parseLanes(reader: OptionReader): readonly Lane[] {
  const value = reader.raw('lanes');
  if (value === undefined) return LANES;
  if (Array.isArray(value) && value.length > 0 && value.every((lane) => LANES.includes(lane as Lane))) {
    return value as Lane[];
  }
  return fail(reader.pathOf('lanes'), value, "Give a list of 'priority' and 'bulk'.");
}
