import { Body, Controller, HttpCode, HttpStatus, Post } from '@nestjs/common';
import type { MailReading } from 'nestjs-priority-mail';
import { BouncesService } from './bounces.service.js';
import { CreateBounceDto } from './create-bounce.dto.js';

@Controller('bounces')
export class BouncesController {
  constructor(private readonly bounces: BouncesService) {}

  @Post()
  @HttpCode(HttpStatus.OK)
  pretend(@Body() { email }: CreateBounceDto): Promise<MailReading> {
    return this.bounces.pretend(email);
  }
}
