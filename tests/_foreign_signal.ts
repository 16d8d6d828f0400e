/** A signal that is none of the platform's and can't be listened to. */
export function deaf(error: Error): AbortSignal {
  const addEventListener = (): void => {
    throw error;
  };
  return { aborted: false, addEventListener, removeEventListener() {} } as unknown as AbortSignal;
}

/** A signal that is none of the platform's and is aborted by being listened to, whether it says so or not. */
export function abortedByListening(says: boolean): AbortSignal {
  const signal = {
    aborted: false,
    reason: undefined as unknown,
    addEventListener(_type: string, listener: EventListenerObject) {
      signal.aborted = true;
      signal.reason = "foreign";
      if (says) listener.handleEvent(new Event("abort"));
    },
    removeEventListener() {},
  };
  return signal as unknown as AbortSignal;
}
