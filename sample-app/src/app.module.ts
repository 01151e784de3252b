import { Module, ValidationPipe } from '@nestjs/common';
import { APP_FILTER, APP_PIPE } from '@nestjs/core';
import { MailUnsubscribeModule } from 'nestjs-priority-mail';
import { BouncesModule } from './bounces/bounces.module.js';
import { CampaignsModule } from './campaigns/campaigns.module.js';
import { CommentsModule } from './comments/comments.module.js';
import { DashboardModule } from './dashboard/dashboard.module.js';
import { HealthModule } from './health/health.module.js';
import { InvoicesModule } from './invoices/invoices.module.js';
import { MailErrorFilter } from './mailing/mail-error.filter.js';
import { MailingModule } from './mailing/mailing.module.js';
import { MailsModule } from './mails/mails.module.js';
import { MembersModule } from './members/members.module.js';
import { PasswordResetsModule } from './password-resets/password-resets.module.js';
import { PostsModule } from './posts/posts.module.js';
import { Settings } from './settings/settings.js';
import { SuppressionsModule } from './suppressions/suppressions.module.js';
import { unsubscribeTexts } from './suppressions/unsubscribe-texts.js';
import { SiteModule } from './site/site.module.js';

@Module({
  imports: [
    MailingModule,
    PasswordResetsModule,
    PostsModule,
    CommentsModule,
    InvoicesModule,
    MembersModule,
    CampaignsModule,
    MailsModule,
    BouncesModule,
    SuppressionsModule,
    MailUnsubscribeModule.forRoot({ lists: { posts: 'New posts' }, texts: unsubscribeTexts }),
    SiteModule,
    HealthModule,
    ...(new Settings().production ? [] : [DashboardModule]),
  ],
  providers: [
    {
      provide: APP_PIPE,
      useValue: new ValidationPipe({ transform: true, whitelist: true, forbidNonWhitelisted: true }),
    },
    { provide: APP_FILTER, useClass: MailErrorFilter },
  ],
})
export class AppModule {}
