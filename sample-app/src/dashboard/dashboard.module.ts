import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import { ExpressAdapter } from '@bull-board/express';
import { BullBoardModule } from '@bull-board/nestjs';
import { Module } from '@nestjs/common';

/** The queue in the browser. It shows what is in the mails and asks nobody who they are: not for production. */
@Module({
  imports: [
    BullBoardModule.forRoot({ route: '/queues', adapter: ExpressAdapter }),
    BullBoardModule.forFeature({ name: 'mail', adapter: BullMQAdapter, options: { readOnlyMode: true } }),
  ],
})
export class DashboardModule {}
