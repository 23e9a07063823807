import { describe, expect, it } from 'vitest';
import { Admission, LISTEN_LIMITS, type Verdict } from '../../cluster/admission.ts';

const limits = { ...LISTEN_LIMITS, connections: 100, connectionsPerSecond: 4, failedJoins: 3, backoffMs: 1000, longestBackoffMs: 8000 }; // biome-ignore format: a row
const reason = (verdict: Verdict) => (verdict.admitted ? 'admitted' : verdict.reason);
const A = '10.0.0.1';

describe('admission', () => {
  it('holds as many connections as its limit, and a new one for each that leaves', () => {
    const admission = new Admission({ ...limits, connections: 2, connectionsPerSecond: 1000 });
    expect([1, 2, 3].map(() => reason(admission.admit(A, 0)))).toEqual([
      'admitted',
      'admitted',
      '2 connections are open, and no more may be',
    ]);
    admission.leave();
    expect(admission.admit('10.0.0.2', 0).admitted).toBe(true);
    expect(admission.open).toBe(2);
  });

  it('admits 4 a second and address over any time, and 8 at once', () => {
    const admission = new Admission(limits);
    let admitted = 0;
    const tryAt = (ms: number) => {
      if (!admission.admit(A, ms).admitted) return;
      admission.leave();
      admitted += 1;
    };
    for (let i = 0; i < 20; i++) tryAt(0);
    expect(admitted).toBe(8);
    for (let ms = 10; ms < 10_000; ms += 10) tryAt(ms);
    expect(admitted).toBe(8 + 4 * 10 - 1);
    expect(admission.admit('10.0.0.2', 10_000).admitted).toBe(true); // another address is not held back
  });

  it('says when to come again, and then admits', () => {
    const admission = new Admission(limits);
    for (let i = 0; i < 8; i++) admission.admit(A, 0);
    const verdict = admission.admit(A, 0);
    expect(verdict).toMatchObject({ admitted: false, retryMs: 250 });
    expect(admission.admit(A, 249).admitted).toBe(false);
    expect(admission.admit(A, 251).admitted).toBe(true);
  });

  it('lets an address wait after failed joins, twice as long each time, to a limit', () => {
    const admission = new Admission(limits);
    let now = 0;
    const waits: number[] = [];
    for (let i = 0; i < 8; i++) {
      admission.failed(A, now);
      const verdict = admission.admit(A, now);
      waits.push(verdict.admitted ? 0 : verdict.retryMs);
      now += 100_000;
    }
    expect(waits).toEqual([0, 0, 1000, 2000, 4000, 8000, 8000, 8000]);
  });

  it('forgets failures of an address from which somebody proved himself', () => {
    const admission = new Admission(limits);
    for (let i = 0; i < 3; i++) admission.failed(A, 0);
    expect(admission.admit(A, 0).admitted).toBe(false);
    admission.joined(A, 0);
    expect(admission.admit(A, 0).admitted).toBe(true);
    admission.failed(A, 0);
    expect(admission.admit(A, 0).admitted).toBe(true);
  });

  it('takes all addresses of an IPv6 network of 64 bits for one, and mapped IPv4 for IPv4', () => {
    const admission = new Admission({ ...limits, connectionsPerSecond: 0.5 });
    const admitted = (address: string) => admission.admit(address, 0).admitted;
    expect(admitted('2001:db8:1:2::1')).toBe(true);
    expect(admitted('2001:db8:1:2:ffff:1:2:3')).toBe(false);
    expect(admitted('2001:db8:1:3::1')).toBe(true);
    expect(admitted('2001:db8::1')).toBe(true);
    expect(admitted('2001:db8:0:0:9::')).toBe(false);
    expect(admitted('::1')).toBe(true);
    expect(admitted('::ffff:10.0.0.9')).toBe(true);
    expect(admitted('10.0.0.9')).toBe(false);
  });

  it('remembers a bounded number of addresses, the last ones', () => {
    const admission = new Admission({ ...limits, connections: 1e9 });
    for (let i = 0; i < 3; i++) admission.failed(A, 0);
    for (let i = 0; i < 4095; i++) admission.admit(`10.1.${i >> 8}.${i & 255}`, 0);
    expect(admission.admit(A, 0).admitted).toBe(false);
    for (let i = 0; i < 4096; i++) admission.admit(`10.2.${i >> 8}.${i & 255}`, 0);
    expect(admission.admit(A, 0).admitted).toBe(true); // forgotten
  });
});
