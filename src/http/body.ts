import type { IncomingMessage } from 'node:http';
import { Failure, issue } from '../fhir/failure.ts';

export const MAX_BODY_BYTES = 10 * 1024 * 1024;

/**
 * The whole body as it came.
 * @throws Failure `too-large` over the limit (bytes), `unsupported-media-type` when compressed, `invalid` when it is cut off
 */
export async function readBody(request: IncomingMessage, limit = MAX_BODY_BYTES): Promise<Buffer> {
  const encoding = request.headers['content-encoding'];
  if (encoding !== undefined && encoding !== 'identity') {
    throw new Failure(
      'unsupported-media-type',
      issue('not-supported', 'A compressed body is not accepted. Send it without Content-Encoding'),
    );
  }
  if (Number(request.headers['content-length'] ?? 0) > limit) throw tooLarge(limit);
  return collect(request, limit);
}

/** By events and not by iteration, which would cost a promise for each part. */
function collect(request: IncomingMessage, limit: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    let size = 0;
    request.on('data', (part: Buffer) => {
      size += part.length;
      if (size <= limit) {
        parts.push(part);
        return;
      }
      request.pause();
      request.removeAllListeners('data');
      reject(tooLarge(limit));
    });
    request.on('end', () => resolve(parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts, size)));
    request.on('error', reject);
    request.on('close', () => {
      if (!request.readableEnded)
        reject(new Failure('invalid', issue('incomplete', 'The body ended before it was whole')));
    });
  });
}

function tooLarge(limit: number): Failure {
  return new Failure(
    'too-large',
    issue('too-long', `The body is larger than ${limit / 1024 / 1024} MB. Send it in smaller parts`),
  );
}
