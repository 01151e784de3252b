import { Injectable } from '@nestjs/common';

export interface Member {
  name: string;
  email: string;
  /** The language of their mails. */
  locale: 'en' | 'ko';
}

/** Stands in for a table. */
const MEMBERS: readonly Member[] = [
  { name: 'Mina Park', email: 'mina.park@example.com', locale: 'en' },
  { name: '김지우', email: 'jiwoo.kim@example.com', locale: 'ko' },
  { name: 'Seán O’Brien', email: 'sean.obrien@example.com', locale: 'en' },
  { name: '이하늘', email: 'haneul.lee@example.com', locale: 'ko' },
  { name: 'Zoë Brontë', email: 'zoe.bronte@example.com', locale: 'en' },
];

@Injectable()
export class MembersService {
  all(): readonly Member[] {
    return MEMBERS;
  }

  named(name: string): Member | undefined {
    return MEMBERS.find((member) => member.name === name);
  }

  withEmail(email: string): Member | undefined {
    return MEMBERS.find((member) => member.email === email);
  }
}
