/** Tasks of an application: decorates methods as it stands. */
export { asTask } from "../app/as_task.ts";
