/** What Prometheus reads at /metrics. Labels are patterns and codes: none can name a patient. */
import {
  AggregatorRegistry,
  collectDefaultMetrics,
  Gauge,
  Histogram,
  type MetricObjectWithValues,
  type MetricValue,
  Registry,
} from 'prom-client';
import type { AnsweredRequest } from './request-log.ts';

export type Metrics = {
  readonly contentType: string;
  text(): Promise<string>;
  /** The same as data, to be put together with those of other processes. */
  values(): Promise<MetricValues>;
  observe(request: AnsweredRequest): void;
  /** A number that is asked for when it is read, such as the length of a queue. */
  gauge(name: string, help: string, value: () => number): void;
};

export type MetricValues = readonly MetricObjectWithValues<MetricValue<string>>[];

/** Counts, sums and memory of all processes added up; for delays of the event loop, their mean. */
export async function metricsText(ofProcesses: readonly MetricValues[]): Promise<string> {
  return AggregatorRegistry.aggregate(ofProcesses.map((values) => [...values])).metrics();
}

export function createMetrics(): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const durations = new Histogram({
    name: 'kap_http_request_seconds',
    help: 'Time to answer a FHIR request, its audit row included',
    labelNames: ['interaction', 'status'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers: [registry],
  });
  // Looking a child up by its labels costs more than the observation; there are few pairs, so each is kept.
  const children = new Map<string, ReturnType<typeof durations.labels>>();
  return {
    contentType: registry.contentType,
    text: () => registry.metrics(),
    values: () => registry.getMetricsAsJSON(),
    observe: ({ interaction, status, milliseconds }) => {
      const key = `${interaction} ${status}`;
      let child = children.get(key);
      if (child === undefined) {
        child = durations.labels(interaction, String(status));
        children.set(key, child);
      }
      child.observe(milliseconds / 1000);
    },
    gauge: (name, help, value) => {
      new Gauge({
        name,
        help,
        registers: [registry],
        collect() {
          this.set(value());
        },
      });
    },
  };
}
