import { Module } from '@nestjs/common';
import { MembersModule } from '../members/members.module.js';
import { InvoicesController } from './invoices.controller.js';
import { InvoicesService } from './invoices.service.js';

@Module({ imports: [MembersModule], controllers: [InvoicesController], providers: [InvoicesService] })
export class InvoicesModule {}
