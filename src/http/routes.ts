/**
 * Which interaction a url of the FHIR base asks for. Patterns are looked up by the shape of the path, the type's own
 * ('/AuditEvent/:id', '/PlanDefinition/:id/$apply') before the general one ('/:type/:id').
 */
import { Failure, issue } from '../fhir/failure.ts';
import type { Interaction, Target } from './exchange.ts';
import { MethodNotAllowed } from './failures.ts';

/** Pattern to method to interaction. */
export type Routes = Readonly<Record<string, Readonly<Record<string, Interaction>>>>;

export type Route = { readonly pattern: string; readonly interaction: Interaction };

const ID = /^[A-Za-z0-9.-]{1,64}$/;

/** What a url below the FHIR base names. Refuses nothing: who asks is looked at first. */
export function targetOf(method: string, url: string): Target {
  const mark = url.indexOf('?');
  const path = mark === -1 ? url : url.slice(0, mark);
  const query = mark === -1 ? '' : url.slice(mark + 1);
  const named = {
    method: method === 'HEAD' ? 'GET' : method,
    url,
    query,
    type: '',
    id: '',
    version: '',
    member: '',
    operation: '',
  };
  const segments = segmentsOf(path);
  const [first = '', second = ''] = segments;
  // An empty segment ('//') names nothing.
  if (segments.includes('')) return { ...named, shape: NOWHERE };
  if (segments.length === 0) return { ...named, shape: '/' };
  if (first.startsWith('$')) {
    return { ...named, operation: first.slice(1), shape: segments.length === 1 ? `/${first}` : NOWHERE };
  }
  if (first === 'metadata' || first.startsWith('.') || first.startsWith('_')) {
    return { ...named, shape: segments.length > 2 ? NOWHERE : `/${segments.join('/')}` };
  }
  if (segments.length === 1) return { ...named, type: first, shape: '' };
  if (second.startsWith('$') || second.startsWith('_')) {
    const operation = second.startsWith('$') ? second.slice(1) : '';
    return { ...named, type: first, operation, shape: segments.length === 2 ? `/${second}` : NOWHERE };
  }
  return { ...named, type: first, id: second, ...belowInstance(segments) };
}

/** A shape that no pattern has. */
const NOWHERE = '/…';

function belowInstance([, , third = '', fourth = '', ...more]: readonly string[]): Partial<Target> & { shape: string } {
  if (third === '') return { shape: '/:id' };
  const [fifth = '', ...beyond] = more;
  if (third === '_history' && fifth.startsWith('$') && beyond.length === 0) {
    return { version: fourth, operation: fifth.slice(1), shape: `/:id/_history/:version/${fifth}` };
  }
  if (more.length > 0) return { shape: '/:id/…' };
  if (third.startsWith('$')) {
    return fourth === '' ? { operation: third.slice(1), shape: `/:id/${third}` } : { shape: '/:id/…' };
  }
  if (third === '_history') {
    if (fourth === '') return { shape: '/:id/_history' };
    return fourth.startsWith('$') || fourth.startsWith('_')
      ? { shape: '/:id/…' }
      : { version: fourth, shape: '/:id/_history/:version' };
  }
  if (third.startsWith('_')) return { shape: '/:id/…' };
  if (fourth === '') return { member: third, shape: '/:id/:member' };
  return fourth === '_search' ? { member: third, shape: '/:id/:member/_search' } : { shape: '/:id/…' };
}

function segmentsOf(path: string): string[] {
  const segments = (path.startsWith('/') ? path.slice(1) : path).split('/');
  if (segments.at(-1) === '') segments.pop();
  return path.includes('%') ? segments.map(decoded) : segments;
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment; // not an id either, and refused as such
  }
}

/**
 * @param isResourceType whether R4 has a resource type of that name
 * @throws Failure `not-found` for an unknown type or path, `invalid` for an id that cannot be one, MethodNotAllowed
 */
export function routeOf(routes: Routes, target: Target, isResourceType: (name: string) => boolean): Route {
  const { pattern, methods } = methodsAt(routes, target, isResourceType);
  const interaction = methods[target.method];
  if (interaction === undefined) throw new MethodNotAllowed(target.method, allowedOf(methods));
  return { pattern, interaction };
}

/** Every method that a url takes, for `Allow`. @throws Failure as routeOf does */
export function allowedAt(
  routes: Routes,
  target: Target,
  isResourceType: (name: string) => boolean,
): readonly string[] {
  return allowedOf(methodsAt(routes, target, isResourceType).methods);
}

function allowedOf(methods: object): readonly string[] {
  const allowed = Object.keys(methods);
  return [...allowed, ...(allowed.includes('GET') ? ['HEAD'] : []), 'OPTIONS'];
}

function methodsAt(routes: Routes, target: Target, isResourceType: (name: string) => boolean) {
  const { type, id, member, shape } = target;
  for (const name of [type, member]) {
    if (name === '' || isResourceType(name) || (name === '*' && name === member)) continue;
    throw new Failure(
      'not-found',
      issue('not-supported', `FHIR R4 has no resource type ${quoted(name)}`, undefined, 'MSG_UNKNOWN_TYPE'),
    );
  }
  if (id !== '' && !ID.test(id)) {
    throw new Failure(
      'invalid',
      issue('value', 'An id is 1 to 64 of the characters A-Z a-z 0-9 - and .', 'http.id', 'MSG_ID_INVALID'),
    );
  }
  const own = type === '' ? shape : `/${type}${shape}`;
  const pattern = routes[own] === undefined && type !== '' ? `/:type${shape}` : own;
  const methods = routes[pattern];
  if (methods === undefined || Object.keys(methods).length === 0) {
    throw new Failure(
      'not-found',
      issue(
        'not-supported',
        'There is nothing at this url. See /metadata for what there is',
        undefined,
        'MSG_UNKNOWN_OPERATION',
      ),
    );
  }
  return { pattern, methods };
}

function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 100));
}
