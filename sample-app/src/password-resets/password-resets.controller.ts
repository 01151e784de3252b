import { Body, Controller, Post } from '@nestjs/common';
import type { MailReceipt } from 'nestjs-priority-mail';
import { CreatePasswordResetDto } from './create-password-reset.dto.js';
import { PasswordResetsService } from './password-resets.service.js';

@Controller('password-resets')
export class PasswordResetsController {
  constructor(private readonly resets: PasswordResetsService) {}

  @Post()
  create(@Body() { email }: CreatePasswordResetDto): Promise<MailReceipt> {
    return this.resets.request(email);
  }
}
