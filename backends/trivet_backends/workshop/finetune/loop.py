"""The loop: steps, evaluations, checkpoints, the best weights; accelerate runs it on what there is.

A step's loss is the mean over all that is asked in it, whatever batches and processes it is spread
over; hence accumulation and more processes change how it is computed and not what is learned.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trivet.errors import EngineFailed
from trivet_backends.workshop.finetune import metrics, plan, state, tasks
from trivet_backends.workshop.finetune.display import Display
from trivet_backends.workshop.finetune.encode import Row
from trivet_backends.workshop.finetune.lessons import Lessons
from trivet_backends.workshop.finetune.options import LoopOptions
from trivet_backends.workshop.finetune.state import Progress

_METRICS_PER_EPOCH = 20  # lines of training loss, about
_EVALUATED_AT_ONCE = 64  # rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The files of a run."""

    folder: Path

    @property
    def states(self) -> Path:
        """Checkpoints to resume from."""
        return self.folder / "states"

    @property
    def best(self) -> Path:
        """The weights of the best model so far."""
        return self.folder / "best.pt"

    @property
    def metrics(self) -> Path:
        """One JSON object a line."""
        return self.folder / "metrics.jsonl"


class Loop:
    """Trains one model. Every process has one and calls the same methods."""

    def __init__(
        self,
        *,
        accelerator: Any,
        trainee: Any,
        training: Lessons,
        validation: Lessons,
        labels: Sequence[str],
        options: LoopOptions,
        places: Places,
        class_weights: np.ndarray | None,
        display: Display,
    ) -> None:
        self._accelerator = accelerator
        self._task = training.task
        self._training, self._validation, self._labels = training, validation, labels
        self._options, self._places, self._display = options, places, display
        self._lengths = [len(row.ids) for row in training.rows]
        self._steps: list[plan.Step] = []  # of the epoch at hand
        self._epoch = -1
        optimizer = _optimizer(trainee, options)
        self._peaks = [group["lr"] for group in optimizer.param_groups]
        self._model, self._optimizer = accelerator.prepare(trainee, optimizer)
        self._class_weights = (
            None
            if class_weights is None
            else torch.from_numpy(class_weights).to(accelerator.device)
        )
        self._per_epoch = len(self._plan(0))
        self.total = self._per_epoch * options.epochs
        self._metric = tasks.BEST_BY[self._task]

    def run(self) -> Progress:
        """Train to the end, from the newest checkpoint if there is one."""
        main = self._accelerator.is_main_process
        torch.manual_seed(self._options.seed * 1_000 + self._accelerator.process_index)
        progress = state.load(self._accelerator, self._places.states)
        if main:
            metrics.keep_until(self._places.metrics, progress.step)
        if progress.step:
            self._display.say(f"going on after step {progress.step:,} of {self.total:,}")
        if not main:  # the sum of all is in the main process
            progress = replace(progress, loss_sum=0.0, loss_count=0)
        while not progress.is_over:
            progress = self._advance(progress)
        return progress

    def _advance(self, progress: Progress) -> Progress:
        """One step, and what is due after it."""
        begun = time.monotonic()
        loss, count = self._step(progress.step)
        step, options = progress.step + 1, self._options
        ends = step == self.total
        evaluates = ends or step % (options.evaluate_every or self._per_epoch) == 0
        saves = evaluates or (options.checkpoint_every and step % options.checkpoint_every == 0)
        progress = replace(
            progress,
            step=step,
            loss_sum=progress.loss_sum + loss,
            loss_count=progress.loss_count + count,
            is_over=ends,
        )
        if evaluates or step % max(1, self._per_epoch // _METRICS_PER_EPOCH) == 0:
            progress = self._tell_loss(progress)
        if evaluates:
            progress = self._judge(progress)
        progress = replace(progress, seconds=progress.seconds + time.monotonic() - begun)
        if saves:
            progress = self._with_summed_loss(progress)
            state.save(self._accelerator, self._places.states, progress)
            if not self._accelerator.is_main_process:
                progress = replace(progress, loss_sum=0.0, loss_count=0)
        self._display.progress("training", step, self.total, _best_told(progress, self._metric))
        return progress

    def _plan(self, epoch: int) -> list[plan.Step]:
        if epoch != self._epoch:
            options = self._options
            self._steps = plan.steps_of(
                self._lengths, options.seed, epoch, options.batch_size, options.accumulation
            )
            self._epoch = epoch
        return self._steps

    def _step(self, number: int) -> tuple[float, int]:
        """Learn from one step's batches; returns this process's sum of losses, and their count."""
        epoch, at = divmod(number, self._per_epoch)
        batches = self._plan(epoch)[at]
        whole = [self._training.take(batch, epoch) for batch in batches]
        weight = sum(tasks.weight_of(row, self._task) for rows in whole for row in rows)
        factor = plan.rate(number, self.total, round(self.total * self._options.warm_up))
        for group, peak in zip(self._optimizer.param_groups, self._peaks, strict=True):
            group["lr"] = peak * factor
        self._model.train()
        self._optimizer.zero_grad()
        loss, count = 0.0, 0
        for last, (batch, rows) in enumerate(zip(batches, whole, strict=True), 1 - len(batches)):
            if last < 0:
                with self._accelerator.no_sync(self._model):
                    part, asked = self._learn(batch, rows, weight)
            else:
                part, asked = self._learn(batch, rows, weight)
            loss, count = loss + part, count + asked
        if not np.isfinite(loss):
            raise EngineFailed(
                f"the loss is {loss} at step {number + 1}; "
                "lower --learning-rate, or use --mixed-precision no"
            )
        if self._options.clip:
            self._accelerator.clip_grad_norm_(self._model.parameters(), self._options.clip)
        self._optimizer.step()
        return loss, count

    def _learn(self, batch: plan.Batch, rows: Sequence[Row], weight: int) -> tuple[float, int]:
        """Add one batch's gradients; weight: all that is asked in the step."""
        accelerator = self._accelerator
        mine = plan.share_of(
            range(len(batch)), accelerator.process_index, accelerator.num_processes
        )
        counts = bool(mine)
        mine = mine or [0]  # all processes compute together; one without rows takes one for nothing
        some = [rows[place] for place in mine]
        inputs = self._training.batch([batch[place] for place in mine], some, accelerator.device)
        logits = self._model(inputs)
        loss = tasks.loss_of(logits, some, self._task, self._class_weights) * counts
        # Gradients become the mean over the processes; their sum is wanted.
        accelerator.backward(loss * (accelerator.num_processes / weight))
        asked = sum(tasks.weight_of(row, self._task) for row in some) * counts
        return float(loss.detach()), asked

    def _tell_loss(self, progress: Progress) -> Progress:
        progress = self._with_summed_loss(progress)
        if self._accelerator.is_main_process:
            line = {
                "kind": "train",
                "step": progress.step,
                "epoch": progress.step / self._per_epoch,
                "loss": progress.loss_sum / max(1, progress.loss_count),
                "learning_rate": self._optimizer.param_groups[0]["lr"],
                "seconds": round(progress.seconds, 3),
            }
            metrics.append_line(self._places.metrics, line)
        return replace(progress, loss_sum=0.0, loss_count=0)

    def _with_summed_loss(self, progress: Progress) -> Progress:
        """The loss over all processes."""
        if self._accelerator.num_processes == 1:
            return progress
        pair = torch.tensor([progress.loss_sum, progress.loss_count], dtype=torch.float64)
        total = self._accelerator.reduce(pair.to(self._accelerator.device), reduction="sum")
        return replace(progress, loss_sum=float(total[0]), loss_count=int(total[1]))

    def _judge(self, progress: Progress) -> Progress:
        """Evaluate, keep the weights if they are the best, and see whether it is time to end."""
        scores = self.evaluate()
        score, loss = scores[self._metric], scores["loss"]
        better = (
            progress.best is None
            or tasks.is_better(score, progress.best, self._metric)
            or (score == progress.best and loss < progress.best_loss)
        )
        if better:
            progress = replace(
                progress, best=score, best_loss=loss, best_step=progress.step, stale=0
            )
        else:
            progress = replace(progress, stale=progress.stale + 1)
        if self._accelerator.is_main_process:
            if better:
                self._keep_weights()
            line = {"kind": "validation", "step": progress.step, **scores}
            metrics.append_line(self._places.metrics, line)
        self._display.say(f"step {progress.step:,}: {tasks.told(scores)}{' (best)' * better}")
        patience = self._options.patience
        if patience and progress.stale >= patience and not progress.is_over:
            self._display.say(f"no better one in {patience} evaluations: ending early")
            progress = replace(progress, is_over=True)
        return progress

    def evaluate(self) -> dict[str, float]:
        """The scores of the weights as they are now, on all of the validation; 'loss' too."""
        from accelerate.utils import gather_object

        accelerator, lessons = self._accelerator, self._validation
        predictions: list[tasks.Prediction] = []
        loss, asked = 0.0, 0
        self._model.eval()
        batches = plan.in_order([len(row.ids) for row in lessons.rows], _EVALUATED_AT_ONCE)
        for batch in plan.share_of(batches, accelerator.process_index, accelerator.num_processes):
            rows = lessons.take(batch, 0)
            inputs = lessons.batch(batch, rows, accelerator.device)
            with torch.inference_mode():
                # Unwrapped: processes have different numbers of batches and need not meet here.
                logits = accelerator.unwrap_model(self._model)(inputs).float()
                loss += float(tasks.loss_of(logits, rows, self._task, None))
            asked += sum(tasks.weight_of(row, self._task) for row in rows)
            predictions += tasks.predictions_of(logits.cpu().numpy(), rows, self._task)
        if accelerator.num_processes > 1:
            predictions = gather_object(predictions)
            sums = gather_object([(loss, asked)])
            loss, asked = sum(pair[0] for pair in sums), sum(pair[1] for pair in sums)
        scores = tasks.scores_of(predictions, lessons.examples, self._task, self._labels)
        return {"loss": loss / asked, **scores}

    def _keep_weights(self) -> None:
        weights = self._accelerator.unwrap_model(self._model).state_dict()
        fresh = self._places.best.with_name(f".{self._places.best.name}")
        torch.save(weights, fresh)
        fresh.replace(self._places.best)

    def take_best(self) -> Any:
        """Give the model its best weights back; returns it as it was before accelerate took it.

        Without the wrapper that multiplies in BF16, too: what is written is used in FP32.
        """
        trainee = self._accelerator.unwrap_model(self._model, keep_fp32_wrapper=False)
        trainee.load_state_dict(torch.load(self._places.best, weights_only=True))
        return trainee.eval()


def _optimizer(trainee: Any, options: LoopOptions) -> Any:
    """AdamW: an encoder learns slower than its new head; norms and biases do not decay."""
    groups = []
    for of_encoder, rate in ((True, options.encoder_rate), (False, options.rate)):
        for decays in (True, False):
            parts = [
                part
                for name, part in trainee.named_parameters()
                if part.requires_grad
                and name.startswith("encoder.") == of_encoder
                and (part.ndim > 1) == decays
            ]
            decay = options.weight_decay if decays else 0.0
            if parts:
                groups.append({"params": parts, "lr": rate, "weight_decay": decay})
    return torch.optim.AdamW(groups)


def _best_told(progress: Progress, metric: str) -> str:
    return "" if progress.best is None else f"best {metric} {progress.best:.4f}"
