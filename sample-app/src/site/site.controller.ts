import { Controller, Get } from '@nestjs/common';
import { Settings } from '../settings/settings.js';

/** Where the home page's links lead; a link that leads nowhere is not shown. */
export interface Site {
  name: string;
  inbox?: string;
  queues?: string;
}

@Controller('site')
export class SiteController {
  constructor(private readonly settings: Settings) {}

  @Get()
  get(): Site {
    const { inboxUrl, production } = this.settings;
    return {
      name: 'Community',
      ...(inboxUrl === undefined ? {} : { inbox: inboxUrl }),
      ...(production ? {} : { queues: '/queues' }),
    };
  }
}
