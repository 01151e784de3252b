import { Module } from '@nestjs/common';
import { PasswordResetsController } from './password-resets.controller.js';
import { PasswordResetsService } from './password-resets.service.js';

@Module({ controllers: [PasswordResetsController], providers: [PasswordResetsService] })
export class PasswordResetsModule {}
