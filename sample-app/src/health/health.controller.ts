import { Controller, Get, ServiceUnavailableException } from '@nestjs/common';
import { MailHealthIndicator, type MailHealth } from 'nestjs-priority-mail';

/** For the load balancer, and for whoever wants to know which mail server is taken and why. */
@Controller('health')
export class HealthController {
  constructor(private readonly mail: MailHealthIndicator) {}

  @Get()
  async get(): Promise<MailHealth> {
    const health = await this.mail.isHealthy('mail');
    if (health.mail.status !== 'up') throw new ServiceUnavailableException(health);
    return health;
  }
}
