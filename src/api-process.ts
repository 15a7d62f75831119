/** The entry of an API process: node:cluster runs it where WORKERS asks for several. */
import { liveAsApiProcess } from './api-processes.ts';
import { startApiProcess } from './main.ts';

liveAsApiProcess(startApiProcess);
