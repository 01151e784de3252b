import { Injectable } from '@nestjs/common';
import { parse } from 'csv-parse';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream';
import { Settings } from '../settings/settings.js';

export interface Follower {
  email: string;
  name: string;
  /** The language of their mails, such as `ko`. May be empty. */
  locale?: string;
}

@Injectable()
export class FollowersService {
  constructor(private readonly settings: Settings) {}

  /** Reads them one by one, as a database cursor would: nobody holds all of them in memory. */
  all(): AsyncIterable<Follower> {
    // A reading error reaches the loop that consumes the rows.
    return pipeline(
      createReadStream(this.settings.followersFile),
      parse({ columns: true, bom: true }),
      () => undefined,
    );
  }
}
