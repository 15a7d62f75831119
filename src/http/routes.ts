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
  const [first = '', second = '', third = '', fourth = '', ...rest] = segmentsOf(path);
  const named = {
    method: method === 'HEAD' ? 'GET' : method,
    url,
    query,
    type: first,
    id: '',
    version: '',
    operation: '',
  };
  const extra = rest.length > 0 ? '/…' : '';
  if (first === '' || first === 'metadata' || first.startsWith('.') || first.startsWith('_')) {
    return { ...named, type: '', shape: `/${[first, second].filter((part) => part !== '').join('/')}${extra}` };
  }
  if (first.startsWith('$')) return { ...named, type: '', operation: first.slice(1), shape: `/${first}` };
  if (second === '') return { ...named, shape: '' };
  if (second.startsWith('$')) return { ...named, operation: second.slice(1), shape: `/${second}${extra}` };
  if (second.startsWith('_')) return { ...named, shape: `/${second}${third === '' ? '' : '/…'}` };
  if (third === '') return { ...named, id: second, shape: '/:id' };
  if (third.startsWith('$')) return { ...named, id: second, operation: third.slice(1), shape: `/:id/${third}` };
  if (third !== '_history') return { ...named, id: second, shape: '/:id/…' };
  if (fourth === '') return { ...named, id: second, shape: '/:id/_history' };
  return { ...named, id: second, version: fourth, shape: `/:id/_history/:version${extra}` };
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
  const { type, id, shape, method } = target;
  if (type !== '' && !isResourceType(type)) {
    throw new Failure('not-found', issue('not-supported', `FHIR R4 has no resource type ${quoted(type)}`));
  }
  if (id !== '' && !ID.test(id)) {
    throw new Failure('invalid', issue('value', 'An id is 1 to 64 of the characters A-Z a-z 0-9 - and .'));
  }
  const own = type === '' ? shape : `/${type}${shape}`;
  const pattern = routes[own] === undefined && type !== '' ? `/:type${shape}` : own;
  const methods = routes[pattern];
  if (methods === undefined || Object.keys(methods).length === 0) {
    throw new Failure(
      'not-found',
      issue('not-supported', 'There is nothing at this url. See /metadata for what there is'),
    );
  }
  const interaction = methods[method];
  if (interaction === undefined) {
    const allowed = Object.keys(methods);
    throw new MethodNotAllowed(method, allowed.includes('GET') ? [...allowed, 'HEAD'] : allowed);
  }
  return { pattern, interaction };
}

function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 100));
}
