import type { IncomingMessage } from 'node:http';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { Failure, issue } from '../fhir/failure.ts';

export const MAX_BODY_BYTES = 10 * 1024 * 1024;

/**
 * The whole body, unpacked where it came as gzip.
 * @throws Failure `too-large` over the limit (bytes, packed or unpacked), `unsupported-media-type` for another
 * compression, `invalid` when it is cut off or not gzip
 */
export async function readBody(request: IncomingMessage, limit = MAX_BODY_BYTES): Promise<Buffer> {
  const encoding = request.headers['content-encoding'];
  const isPacked = encoding !== undefined && encoding !== 'identity' && encoding !== '';
  if (isPacked && !/^(?:x-)?gzip$/i.test(encoding)) {
    throw new Failure(
      'unsupported-media-type',
      issue(
        'not-supported',
        'A body may be compressed with gzip, and with nothing else. Send it without Content-Encoding',
        'http.Content-Encoding',
      ),
    );
  }
  if (Number(request.headers['content-length'] ?? 0) > limit) throw tooLarge(limit);
  const body = await collect(request, limit);
  return isPacked ? unpacked(body, limit) : body;
}

const unzip = promisify(gunzip);

/** Never holds more than the limit, however much a bomb would unpack to. */
async function unpacked(body: Buffer, limit: number): Promise<Buffer> {
  try {
    return await unzip(body, { maxOutputLength: limit });
  } catch (cause) {
    if (isOutputTooLarge(cause)) throw tooLarge(limit);
    throw new Failure('invalid', issue('structure', 'The body is not the gzip that Content-Encoding says'), { cause });
  }
}

function isOutputTooLarge(cause: unknown): boolean {
  return typeof cause === 'object' && cause !== null && 'code' in cause && cause.code === 'ERR_BUFFER_TOO_LARGE';
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
