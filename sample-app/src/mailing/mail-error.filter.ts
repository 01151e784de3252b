import {
  BadGatewayException,
  BadRequestException,
  Catch,
  ServiceUnavailableException,
  type ArgumentsHost,
  type HttpException,
} from '@nestjs/common';
import { BaseExceptionFilter } from '@nestjs/core';
import { MailError, MailQueueUnavailableError, MailValidationError } from 'nestjs-priority-mail';

/** Tells the client which of the three it is: their input, the queue, or the mail server. */
@Catch(MailError)
export class MailErrorFilter extends BaseExceptionFilter {
  override catch(error: MailError, host: ArgumentsHost): void {
    super.catch(toHttp(error), host);
  }
}

function toHttp(error: MailError): HttpException {
  if (error instanceof MailValidationError) {
    return new BadRequestException(error.errors.map(({ path, message }) => `${path} ${message}`));
  }
  if (error instanceof MailQueueUnavailableError) return new ServiceUnavailableException(error.message);
  return new BadGatewayException(error.message);
}
