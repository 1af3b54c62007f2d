#!/usr/bin/env python3
"""Writes train.jsonl and heldout.jsonl, the task of `make demo`, beside this script.

A guest's message to a restaurant becomes one line that a booking system can read:

    action | name | people | day | time        book | Okafor | 4 | fri | 19:30

`action` is book, move or cancel; `name` is the surname; `day` is mon..sun, today or tomorrow; `time` is on the 24-hour
clock (the kitchen opens at six in the evening, so "half past seven" is 19:30); `-` is what the guest did not say.
The day and time of a move are the new ones.

Held-out messages use sentences and names that no training message uses. The output depends on SEED alone.
"""

import json
import random
from pathlib import Path

SEED = 4
TRAIN, HELD_OUT = 600, 64

# {when} is "on Friday" or "tomorrow", {day} is "Friday" or "tomorrow", {who} is the name, at times with a first name or
# a title before it; {old_day} and {old_time} are given up and stay out of the answer. A request that does not say the
# name is put after an introduction or before a signature that does.
TRAIN_REQUESTS = {
    "book": [
        "Could I book a table for {people} {when} at {time}?",
        "I'd like to reserve a table for {people} {when} at {time}.",
        "Table for {people}, {when} at {time}, please.",
        "There will be {people} of us {when}, at about {time}.",
        "We are {people} and would love to come {when} at {time}.",
        "Can you fit in {people} {when} at {time}? Put it under {name}.",
        "I'm looking for a table {when} at {time} for {people}.",
        "Do you have anything {when} at {time} for {people}?",
        "It's my birthday! Please keep {people} seats for {name} {when} at {time}.",
        "Please book {name}, {people} people, {when} at {time}.",
        "A table by the window for {people}, {when} at {time} if possible.",
        "Are you free {when}? We would be {people}, arriving at {time}.",
        "I need a table {when} at {time}. We'll be {people}.",
        "My parents are visiting, so {people} of us want to eat with you {when} at {time}.",
        "{name}, party of {people}, {when}, {time}.",
        "Please expect us {when} at {time}, {people} people.",
        "We'd be so happy to try your kitchen {when} at {time}! We are {people}.",
        "New booking: {name}, {day}, {time}, {people} seats.",
        "Could we get {day} at {time} for {people}?",
        "Could you set a table for {people} {when}? We'll be there at {time}.",
        "Please save {people} places for us {when} at {time}.",
        "I would like dinner for {people} {when}, {time} would suit us best.",
        "Is it possible to eat at yours {when}? {people} people, {time}.",
        "Would you have space for {people} {when} at {time}?",
        "We want to bring the family {when} at {time}. That makes {people} of us.",
        "I hope you still have a free table {when} at {time}, we are {people}.",
        "There are {people} of us from the office and we're hungry {when}. Any time is fine.",
        "Could you hold a table for {people} {when}? We don't know yet when we'll arrive.",
        "Do you take bookings {when} at {time}? I'm not sure yet how many we'll be.",
    ],
    "move": [
        "Please move our booking under {name} from {old_day} to {day} at {time}.",
        "Can we come {when} at {time} instead of {old_day}?",
        "{old_day} doesn't work any more, could we do {day} at {time}?",
        "I have a table for {old_day} as {name}. Could you shift it to {day}, {time}?",
        "Something came up, so {old_day} is out. Is {day} at {time} still free?",
        "We booked for {old_day} but would rather come {when} at {time}.",
        "Can you change {name} from {old_day} to {day}? Ideally at {time}.",
        "Our train is late! Can {name} have the table at {time} rather than {old_time}?",
        "We reserved for {old_day}. Could you switch us to {day}?",
        "Push the {name} reservation back to {time}, please.",
        "I'd like to reschedule. New time: {day} at {time}. It was {old_day}.",
        "Sorry to be a pain, but could we swap {old_day} for {day} at {time}?",
        "Could {name} come {when} at {time} and not {old_day}, as we first said?",
        "We're down for {old_day}, but {day} at {time} would be better.",
        "We have to delay our visit from {old_day} to {day}, {time}.",
        "Is it too late to change our reservation? {day} at {time} instead of {old_day}, please.",
        "We'll see you {when} at {time}, not {old_day}.",
        "Could you bring our booking forward from {old_day} to {day} at {time}?",
        "You have {name} on {old_day}. Please make that {day} at {time}.",
        "Our babysitter can't do {old_day}, so may we come {when} at {time}?",
        "Please give {name} a table {when} at {time} instead of the one for {old_day}.",
        "Our reservation is for {old_day}. Can we still change it to {day} at {time}?",
        "I reserved a table for {old_day}, but could you make it {time} {when}?",
        "Please shift our dinner from {old_day} to {day}, same people, at {time}.",
        "{old_day} was a mistake, I meant {day} at {time}.",
        "We need another day: {day} at {time} rather than {old_day}.",
        "May we switch to {day}? We have a booking for {old_day}, and {time} would be good.",
        "We won't manage {old_day}. Can you move us to {day} at {time}?",
        "Could you write {name} in for {day} at {time} rather than {old_day}?",
        "Is {day} at {time} possible too? {old_day} is difficult for us now.",
    ],
    "cancel": [
        "Please cancel the table for {name} {when}.",
        "We can't make it {when} after all.",
        "I have to cancel our table {when} at {time}.",
        "Sorry, my son is ill and we won't be coming {when}.",
        "Could you take {name} off the list {when}?",
        "I need to call off my reservation {when} at {time}.",
        "Unfortunately we have to drop our booking for {people} {when}.",
        "Cancel {name}, {day}, {time}, please.",
        "Our plans fell through, so please free the table for {people} {when} at {time}.",
        "Please delete my booking. {name}, {day} at {time}.",
        "Bad news: nobody has time {when}, so no table for {name} then.",
        "We no longer need the table for {people} under {name}.",
        "We're not coming {when} at {time}, so please remove our booking.",
        "Would you cancel the reservation for {people} {when}?",
        "There's no need to keep our table {when} at {time}, we won't make it.",
        "Sadly our dinner {when} is off. We had a table for {people}.",
        "My flight was cancelled, and so is our visit {when}.",
        "I am sorry to say that we will not come {when}.",
        "We've changed our minds and won't be eating with you {when} at {time}.",
        "You can cross {name} out {when}.",
        "I booked for {people} {when}, please forget about it, we're not able to come.",
        "Nobody is coming {when} at {time}, please give up our table.",
        "Our table {when} can be cancelled.",
        "Please annul the booking {when} at {time}.",
        "Please don't wait for us {when} at {time}, we must stay at home.",
    ],
}
TRAIN_INTRODUCTIONS = ["{who} here.", "This is {who}.", "Hi, my name is {name}.", "Good morning, {who} speaking."]
TRAIN_SIGNATURES = [
    "The name is {name}.",
    "It's under {name}.",
    "Name: {name}.",
    "{who}",
    "Regards, {who}",
    "Thanks, {name}",
    "Yours, {who}",
]
HELD_OUT_REQUESTS = {
    "book": [
        "May I have a table for {people} {when} at {time}?",
        "I was hoping to celebrate with you {when}, say at {time}. We are {people} people.",
        "Is there room for {people} {when} at {time}?",
        "We'd like to have a meal at your place {when} at {time}, {people} guests in total.",
        "Reservation request: {name}, {day} at {time}, {people} guests.",
        "Please save us a spot {when} at {time}. There's {people} of us.",
        "Any chance of a table for {people} {when}? The hour doesn't matter.",
        "I'd need {people} chairs at a quiet table {when} at {time}.",
        "What about {day} at {time}? We're {people} and very hungry.",
        "Kindly note a table for {people} {when} at {time} for {name}.",
        "It's our wedding day {when}, and we want a nice table for {people} at {time}.",
        "Could {people} of us drop by {when} at {time}?",
    ],
    "move": [
        "Would it be possible to put {name} down for {day} at {time} instead of {old_day}?",
        "Change of plan! Not {old_day} but {day} at {time}, please.",
        "I have a reservation for {old_day}. Can you make it {day} at {time}?",
        "Could you postpone our table from {old_day} to {day} at {time}?",
        "We're booked for {old_day}, but can we swap to {day} at {time}?",
        "I'd prefer {day} at {time} to {old_day}, could you change that?",
        "Please transfer the booking of {name} from {old_day} to {day}, {time}.",
        "We have to work on {old_day}. Could we come {when} at {time} instead?",
        "Is it okay to move our dinner to {day}? It was planned for {old_day}.",
        "My table is reserved for {old_day}. May I reschedule it to {day} at {time}?",
    ],
    "cancel": [
        "I'm afraid we must cancel {when}.",
        "Please scrap our reservation {when} at {time}.",
        "You can give our table {when} at {time} to someone else, we're not coming.",
        "Regretfully I won't need my table for {people} {when}.",
        "Our car broke down, so we can't come {when} at {time}.",
        "Please cancel everything {when} for {name}.",
        "I want to withdraw my booking for {people} {when} at {time}.",
        "We are too tired to go out {when}, so please cancel our table for {people}.",
        "Kindly remove {name} from your book {when} at {time}.",
        "Unfortunately we won't be able to make it {when} at {time}.",
    ],
}
HELD_OUT_INTRODUCTIONS = ["Good evening, I'm {who}.", "Hello, it's {who}."]
HELD_OUT_SIGNATURES = ["Best wishes, {who}", "Kind regards, {name}", "My surname is {name}.", "Sincerely, {who}"]

TRAIN_NAMES = """
    Adams Adeyemi Ahmed Alvarez Andersson Baker Banerjee Barros Becker Bellini Bennett Bianchi Boateng Bosch Bradley
    Brown Byrne Carter Castillo Chen Chowdhury Clarke Cohen Collins Costa Dalton Delgado Diaz Dubois Duffy Edwards
    Eriksen Farah Fischer Fitzgerald Flores Foster Fournier Garcia Gomez Gonzalez Graham Greene Gupta Haddad Hall
    Hansen Harris Hassan Hayes Hoffmann Hughes Ibrahim Ito Ivanov Jackson Jansen Johnson Jones Kaplan Kelly Khan Kim
    Klein Kowalski Kumar Larsen Laurent Lee Lindqvist Lopez Marino Martin Mbeki Meyer Mitchell Moreau Morgan Moreno
    Müller Murphy Nakamura Nguyen Nielsen Nowak O'Brien O'Connor Olsen Ortiz Park Patel Pereira Peters Petrov Popescu
    Quinn Ramirez Reilly Ricci Roberts Rossi Roy Russo Santos Sato Schmidt Scott Sharma Shaw Silva Singh Smith Sokolov
    Stewart Suzuki Takahashi Taylor Thompson Torres Turner Vargas Walker Wang Watson Weber White Wilson Wright Yilmaz
""".split()
HELD_OUT_NAMES = """
    Abbott Achterberg Almeida Bauer Brandt Campbell Chaudhry Crawford D'Angelo Demir Donovan Eze Ferrari Fraser
    Gallagher Gutierrez Horvath Jensen Kaur Keller Lambert Lombardi MacLeod Mendoza Mwangi Novak Okafor Osei Palmer
    Perez Rahman Reyes Romano Sanders Svensson Tanaka Vasquez Watanabe Whitfield Zhang
""".split()
FIRST_NAMES = "Anna Ben Carla David Elif Fiona George Hana Imran Julia Kofi Laura Miguel Nina Omar Priya Rosa".split()
TITLES = "Mr Mrs Ms Dr".split()
NUMBERS = "zero one two three four five six seven eight nine ten".split()
WEEKDAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
HOURS, MINUTES = (18, 19, 20, 21), (0, 15, 30)
DAYS = {day: day[:3].lower() for day in WEEKDAYS} | {"tonight": "today", "tomorrow": "tomorrow"}


def pick(rng, items):
    """A random item. Only rng.random() promises the same sequence in every Python version."""
    return items[int(rng.random() * len(items))]


def shuffled(rng, items):
    return sorted(items, key=lambda _: rng.random())


def spoken(rng, hour, minute):
    twelve = hour - 12
    phrases = [f"{hour}:{minute:02}", f"{twelve}:{minute:02}", f"{twelve}:{minute:02} pm"]
    phrases += {
        0: [NUMBERS[twelve], f"{NUMBERS[twelve]} o'clock", f"{twelve} pm"],
        15: [f"quarter past {NUMBERS[twelve]}"],
        30: [f"half past {NUMBERS[twelve]}", f"{NUMBERS[twelve]} thirty"],
    }[minute]
    return pick(rng, phrases)


def with_name(rng, request, introductions, signatures):
    if "{name}" in request:
        return request
    if rng.random() < 0.4:
        return f"{pick(rng, introductions)} {request}"
    return f"{request} {pick(rng, signatures)}"


def example(rng, action, template, names):
    name, people, day = pick(rng, names), 2 + int(rng.random() * 9), pick(rng, list(DAYS))
    old_day = pick(rng, [other for other in WEEKDAYS if other != day])
    time = pick(rng, HOURS), pick(rng, MINUTES)
    old_time = pick(rng, [hour for hour in HOURS if hour != time[0]]), 0
    message = template.format(
        name=name,
        who=pick(rng, (name, f"{pick(rng, FIRST_NAMES)} {name}", f"{pick(rng, TITLES)} {name}")),
        people=pick(rng, (str(people), NUMBERS[people])),
        day=day,
        when=f"{pick(rng, ('on', 'this'))} {day}" if day in WEEKDAYS else day,
        time=spoken(rng, *time),
        old_day=old_day,
        old_time=spoken(rng, *old_time),
    )
    said_day = "{day}" in template or "{when}" in template
    fields = (
        action,
        name,
        str(people) if "{people}" in template else "-",
        DAYS[day] if said_day else "-",
        f"{time[0]}:{time[1]:02}" if "{time}" in template else "-",
    )
    return message[0].upper() + message[1:], " | ".join(fields)


def examples(rng, count, requests, introductions, signatures, names):
    """`count` different examples, every request equally often (to within one)."""
    forms = [(action, request) for action, group in requests.items() for request in group]
    made = {}
    while len(made) < count:
        action, request = forms[len(made) % len(forms)]
        message, answer = example(rng, action, with_name(rng, request, introductions, signatures), names)
        made[message] = answer
    return shuffled(rng, made.items())


def write(path, rows):
    with path.open("w", encoding="utf-8", newline="\n") as out:
        for message, answer in rows:
            chat = [{"role": "user", "content": message}, {"role": "assistant", "content": answer}]
            out.write(json.dumps({"messages": chat}, ensure_ascii=False) + "\n")


def main():
    rng = random.Random(SEED)
    train = examples(rng, TRAIN, TRAIN_REQUESTS, TRAIN_INTRODUCTIONS, TRAIN_SIGNATURES, TRAIN_NAMES)
    held_out = examples(rng, HELD_OUT, HELD_OUT_REQUESTS, HELD_OUT_INTRODUCTIONS, HELD_OUT_SIGNATURES, HELD_OUT_NAMES)
    assert not set(TRAIN_NAMES) & set(HELD_OUT_NAMES), "a held-out name is in the training data"
    assert not dict(train).keys() & dict(held_out).keys(), "a held-out message is in the training data"
    here = Path(__file__).parent
    write(here / "train.jsonl", train)
    write(here / "heldout.jsonl", held_out)


if __name__ == "__main__":
    main()
