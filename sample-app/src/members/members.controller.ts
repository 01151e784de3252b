import { Controller, Get } from '@nestjs/common';
import { MembersService } from './members.service.js';

@Controller('members')
export class MembersController {
  constructor(private readonly members: MembersService) {}

  @Get()
  names(): string[] {
    return this.members.all().map(({ name }) => name);
  }
}
