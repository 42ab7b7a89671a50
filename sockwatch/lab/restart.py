"""The step that restarts a server, after predicting what that will get."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from sockwatch.lab.prediction import predict_restart
from sockwatch.lab.session import Session
from sockwatch.lab.step import BaseStep, StepResult


@dataclass(frozen=True, slots=True)
class Restart(BaseStep):
    """Kill the process `who`, and open the socket that it opened last once more, as it was."""

    WHY = (
        "A restart asks for the same port with the same flags. Its listener is gone by then; what"
        " its connections leave behind is not."
    )

    who: str

    def run(self, session: Session) -> StepResult:
        """Predict, kill, start again. Raises LabError."""
        process = session.process(self.who)
        spec = process.opened[-1]
        prediction = predict_restart(spec, session.sandbox.take_snapshot(spec.port))
        session.on_prediction(prediction)
        session.sandbox.signal(process, signal.SIGKILL)
        return StepResult(session.open(self.who, spec), prediction)
