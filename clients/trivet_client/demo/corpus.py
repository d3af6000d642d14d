"""The texts of the demo."""

from __future__ import annotations

import math
import random

# What a small model trained on speeches, Moby-Dick, reviews, e-mail and glosses can complete, and
# one thing it cannot: it has seen hardly any geography.
MASKED = (
    "God bless the United [MASK] of [MASK].",
    "He opened the [MASK] and walked into the room.",
    "The battery lasts only two [MASK].",
    "A [MASK] is a large marine mammal.",
    "She poured herself a cup of [MASK].",
    "The house of [MASK] passed the bill.",
    "The capital of France is [MASK].",
)

SENTENCES = (
    # kitchen
    "Let the dough rest for an hour before you bake it.",
    "A pinch of salt brings out the sweetness of the tomatoes.",
    "Stir the soup slowly so that it does not burn at the bottom.",
    # space
    "The rover sent back its first pictures of the red dust.",
    "Two astronauts repaired the antenna during a spacewalk.",
    "The comet will not come near the sun again for eighty years.",
    # sport
    "The striker scored twice in the last ten minutes.",
    "She trained all winter for her first marathon.",
    "The goalkeeper was sent off after a foul.",
    # music
    "The violinist tuned her instrument before the concert.",
    "Their new album mixes jazz with old folk songs.",
    "The choir sings in the cathedral every Sunday.",
    # weather
    "Heavy rain flooded the valley overnight.",
    "A thin layer of frost covered the windows this morning.",
    "The storm knocked out power in three counties.",
    # computers
    "The update fixed a bug that made the laptop freeze.",
    "Back up your files before you replace the disk.",
    "The server answers a thousand requests per second.",
    # money
    "Shares fell sharply after the company lowered its forecast.",
    "They are saving for the down payment on a house.",
    "Inflation has made groceries more expensive.",
    # animals
    "The puppy chewed up my slippers again.",
    "Wolves hunt in packs and share their prey.",
    "A heron stood motionless at the edge of the pond.",
    # health
    "The nurse bandaged his sprained ankle.",
    "Drinking enough water helps against headaches.",
    "The vaccine protects most people for several years.",
    # travel
    "Our train was delayed, so we missed the ferry.",
    "The hostel is a short walk from the old harbour.",
    "You need a visa and two photographs to cross the border.",
)

# To be sorted by labels that no model here was trained for.
TOPICS = ("cooking", "astronomy", "sport", "music", "weather")
TOPICAL = (
    "Simmer the onions until they are golden, then add the stock.",
    "The probe passed within a thousand miles of the moons of Saturn.",
    "He broke his serve twice and still lost the final set.",
)

QUERIES = (
    "My computer crashed and I am afraid of losing my data.",
    "What is it like to work in orbit?",
    "The dog is chewing on things it should leave alone.",
)

LONE_TEXT = "The train to the coast leaves at nine, so please be at the station a little earlier."


def mixed_texts(count: int) -> list[str]:
    """The same texts each run, log-normal in length: median 18 words, up to 220."""
    dice = random.Random(11)
    return [
        _text(dice, min(220, round(dice.lognormvariate(math.log(18), 0.9)))) for _ in range(count)
    ]


def _text(dice: random.Random, length: int) -> str:
    words: list[str] = []
    while len(words) < max(length, 3):
        words += dice.choice(SENTENCES).split()
    return " ".join(words[: max(length, 3)])
