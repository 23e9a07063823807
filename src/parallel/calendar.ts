import { type Course, EVERY_STEP, lastInnerStep, type Pace, roundOf } from './inner-steps.ts';

/** Which steps of a run make up its epochs; with local steps its steps are rounds, and not every epoch has equally many. Pure. */
export class Calendar {
  /** Of the job. */
  readonly course: Course;
  readonly pace: Pace;
  /** Of the run. */
  readonly totalSteps: number;
  /** The last may be cut short. */
  readonly epochs: number;

  constructor(course: Course, pace: Pace = EVERY_STEP) {
    this.course = course;
    this.pace = pace;
    this.totalSteps = roundOf(course.totalSteps, pace, course);
    this.epochs = Math.ceil(course.totalSteps / course.stepsPerEpoch);
  }

  /** The epoch of a step, from 1. Nothing is trained yet at step 0, and the first epoch is under way. */
  epochOf(step: number): number {
    return Math.max(1, Math.ceil(lastInnerStep(step, this.pace, this.course) / this.course.stepsPerEpoch));
  }

  /** The last step of an epoch, as far as the run goes; 0 for epoch 0. */
  lastOf(epoch: number): number {
    const { stepsPerEpoch, totalSteps } = this.course;
    return roundOf(Math.min(epoch * stepsPerEpoch, totalSteps), this.pace, this.course);
  }

  /** All rows of an epoch have been taken. */
  endsEpoch(step: number): boolean {
    return step > 0 && lastInnerStep(step, this.pace, this.course) % this.course.stepsPerEpoch === 0;
  }

  /** All epochs have equally many steps. */
  get even(): boolean {
    return this.pace.every === 1 || this.pace.warmup === 0;
  }
}
