"""Question words -> annotated categories and predicates, for lexical A1.

The words were chosen by their frequency in NExT-QA's open-ended train and val questions; where a word has several
readings, by what VidOR annotates in the videos that it is asked about (VidSTG's objects and relations of 520 val
videos). Only names that the scene holds can be matched, so a word may be broad: "animal" is whatever animal is there.

How a text is read
  1. Lower case, split at everything that is no letter or digit: "baby s mouth" and "baby's mouth" are the same, and
     a full-width question mark divides like any other.
  2. From left to right, the longest phrase that starts at a word is taken, and its words are used up: in "baby seat"
     there is no baby, in "teddy bear" no bear, in "near the end" nothing is near.
  3. Nouns match in singular and plural; a phrase inflects at its last word. Verbs match in the forms listed.
  4. Every category matches its own name, cut at "/" and with blanks for "_": `ball/sports_ball` matches "ball" and
     "sports balls". Every predicate matches its own name with blanks for "_", but for `on`, `at`, `close` and
     `play(instrument)`, whose words mostly say something else. Names that are not listed here, those of own data,
     match in the same way, and such a predicate also in the regular forms of its first word: `drives` matches "drive"
     and "driving", and as "drive" is listed, "drove".
  5. A noun may have choices in order, written `first > second`: the first that the scene holds any category of is
     taken. A "boy" is a child where one is annotated, else a baby or an adult; a "car" is a toy where there is no car
     but a toy.
  6. `*` in a phrase stands for up to three words, none of them a preposition or conjunction: "holding her left hand"
     is hold_hand_of, "holding a cup in her hand" is not.
  7. Phrases that are listed without a name mean nothing: "hot dog", "look at the camera".

Nouns: people by age as above; roles (singer, driver, bride) are adults, then children; "people" and "someone" anyone.
Young and colloquial names of animals (puppy, bunny) and kinds of vehicle, furniture and food stand under their
category. "Toy car", "plush tiger" and "dog toy" are toys, a "baby panda" is a panda, "glasses" are spectacles. He, she,
it, they and who match nothing, and neither does "cameraman", who is not in the picture.

Verbs, as VidOR's annotators chose: "pick" is lift and grab, "carry" also hug, "sit" and "lie on" also lean_on, "eat"
also bite, "swinging" wave, "follow" chase. "Play" is play(instrument) with an instrument only; "like" matches nothing.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache

Tiers = tuple[frozenset[str], ...]
"""Sets of names in order of preference; empty for a phrase that means nothing."""

_ANIMAL_NAMES = (
    "antelope bear bird camel cat cattle/cow chicken crab crocodile dog duck elephant fish hamster/rat horse kangaroo "
    "leopard lion panda penguin pig rabbit sheep/goat snake squirrel stingray tiger turtle"
)
_ANIMALS = frozenset(_ANIMAL_NAMES.split())
_FOOD = "bread cake fruits vegetables food sandwich groceries"

# Categories of VidOR and STAR that match by their own names only.
PLAIN_CATEGORIES = (
    "stop_sign traffic_light electric_fan frisbee microwave broom picture closet/cabinet blanket window paper/notebook "
    "cup/glass/bottle shelf shoe medicine phone/camera box book bed mirror sofa/couch floor towel door doorway "
    "groceries hands vacuum"
)
PLAIN_PREDICATES = "have_it_on_the_back on at"

# Words, parted by blanks, with "_" inside a phrase -> categories: VidOR's 80 and STAR's 37, "a b > c" as in rule 5.
NOUNS: tuple[tuple[str, str], ...] = (
    # people
    (
        "man men guy gentleman gentlemen lady woman women adult mother mum mom mommy father dad daddy parent "
        "grandmother "
        "grandma grandfather grandpa husband wife elderly",
        "adult person",
    ),
    (
        "male female singer dancer performer musician guitarist drummer pianist violinist vocalist trumpeter artist "
        "conductor driver rider biker cyclist skier surfer skater skateboarder snowboarder swimmer diver fencer "
        "athlete player climber hiker runner golfer boxer audience crowd spectator bride groom couple priest teacher "
        "instructor coach trainer nurse doctor police policeman policemen officer soldier guard fireman firemen "
        "worker chef waiter waitress host presenter reporter referee owner passenger pedestrian photographer cowboy "
        "clown magician contestant participant",
        "adult person > child",
    ),
    (
        "person people human someone somebody everyone everybody anyone anybody individual friend student teenager",
        "adult child baby person",
    ),
    ("kid child children youngster daughter sibling", "child person > baby"),
    ("boy girl brother sister son", "child person > baby adult"),
    ("toddler", "child baby person"),
    ("baby infant newborn", "baby person > child"),
    # animals; a toy where the animal itself is not annotated
    ("animal creature", f"{_ANIMAL_NAMES} > toy"),
    ("pet", "dog cat rabbit hamster/rat bird turtle fish > toy"),
    ("dog puppy pup doggy pug hound husky", "dog > toy"),
    ("cat kitten kitty", "cat > toy"),
    ("lion lioness", "lion > toy"),
    ("tiger tigress", "tiger > toy"),
    ("leopard cheetah jaguar", "leopard > toy"),
    ("cub", "lion tiger leopard bear panda"),
    ("bear polar_bear", "bear > panda toy"),
    ("panda panda_bear", "panda > bear toy"),
    ("horse pony foal stallion donkey mule", "horse > toy"),
    ("cow cattle bull calf calves ox oxen buffalo", "cattle/cow > toy"),
    ("sheep goat lamb ram", "sheep/goat > toy"),
    ("pig piglet", "pig > toy"),
    ("hamster rat mouse mice guinea_pig gerbil ferret", "hamster/rat > toy"),
    ("squirrel chipmunk", "squirrel > toy"),
    ("rabbit bunny", "rabbit > toy"),
    ("antelope deer", "antelope > toy"),
    ("chicken hen rooster chick", "chicken > bird toy"),
    ("duck duckling goose geese swan", "duck > bird toy"),
    (
        "bird parrot parakeet pigeon seagull eagle owl peacock sparrow flamingo ostrich cockatoo",
        "bird > duck chicken toy",
    ),
    ("turtle tortoise", "turtle > toy"),
    ("snake python", "snake > toy"),
    ("crocodile alligator", "crocodile > toy"),
    ("fish shark goldfish", "fish > toy"),
    ("stingray", "stingray > fish"),
    *((name, f"{name} > toy") for name in ("camel", "crab", "elephant", "kangaroo", "penguin")),
    # vehicles
    ("vehicle", "car bus/truck motorcycle scooter train watercraft aircraft > bicycle toy"),
    ("car jeep taxi cab suv kart go_kart race_car", "car > toy"),
    ("van", "car bus/truck > toy"),
    ("bus truck lorry tractor bulldozer excavator fire_engine", "bus/truck > toy"),
    ("train tram locomotive", "train > toy"),
    ("plane airplane aeroplane helicopter jet aircraft glider", "aircraft > toy"),
    ("boat canoe kayak ship raft yacht ferry sailboat speedboat dinghy jetski jet_ski watercraft", "watercraft > toy"),
    ("motorcycle motorbike", "motorcycle > toy"),
    ("bike", "bicycle motorcycle > scooter toy"),
    ("bicycle tricycle cycle cycling", "bicycle > toy"),
    ("scooter", "scooter > toy"),
    ("pram stroller pushchair baby_carriage baby_stroller baby_pram", "baby_walker baby_seat"),
    ("walker baby_walker", "baby_walker"),
    # sport
    ("skateboard skate_board", "skateboard"),
    ("snowboard snow_board", "snowboard"),
    ("surfboard surf_board surfing_board paddleboard paddle_board", "surfboard"),
    ("board", "skateboard snowboard surfboard"),
    ("ski skiing", "ski"),
    ("ball football soccer basketball volleyball baseball balloon", "ball/sports_ball > toy"),
    ("bat baseball_bat base_bat", "bat"),
    ("racket racquet tennis_racket", "racket"),
    # furniture and household
    ("chair rocking_chair wheelchair", "chair > baby_seat stool sofa bench"),
    ("armchair", "chair sofa"),
    ("seat", "chair baby_seat bench stool > sofa"),
    ("baby_seat baby_chair high_chair highchair bouncer baby_bouncer", "baby_seat > chair"),
    ("car_seat", "baby_seat > car"),
    ("sofa couch settee", "sofa > chair"),
    ("bench", "bench > chair"),
    ("stool", "stool > chair"),
    ("table desk", "table"),
    ("toilet toilet_bowl toilet_seat", "toilet"),
    ("sink basin washbasin", "sink"),
    ("faucet the_tap water_tap tap_water", "faucet"),
    ("fan", "electric_fan"),
    ("refrigerator fridge freezer", "refrigerator"),
    ("oven stove", "oven"),
    ("cupboard wardrobe closet cabinet", "closet/cabinet"),
    ("cushion pillow", "pillow"),
    ("lamp", "light"),
    ("clothing", "clothes"),
    ("doorknob door_knob door_handle", "doorknob"),
    # things in the hand
    ("backpack rucksack knapsack haversack school_bag", "backpack > handbag bag"),
    ("handbag purse hand_bag sling_bag", "handbag > bag"),
    ("bag", "backpack handbag suitcase bag"),
    ("suitcase luggage", "suitcase"),
    ("phone cellphone handphone telephone smartphone iphone mobile mobile_phone cell_phone hand_phone", "cellphone"),
    ("camera camcorder", "camera"),
    ("screen monitor tv television", "screen/monitor television"),
    ("computer", "laptop screen/monitor"),
    ("laptop laptop_screen", "laptop"),
    ("guitar ukulele", "guitar"),
    ("piano keyboard", "piano"),
    ("instrument musical_instrument", "guitar piano"),
    ("bottle flask", "bottle"),
    ("cup mug glass tumbler teacup goblet wine_glass glasses_of", "cup"),
    ("dish plate bowl saucer", "dish"),
    (
        "toy doll teddy teddy_bear plush plushie stuffed_animal soft_toy lego robot puppet figurine action_figure "
        "building_block wooden_block toy_block puzzle rattle dinosaur barbie mickey_mouse minnie_mouse rubber_duck",
        "toy",
    ),
    # food
    ("food", _FOOD),
    ("bread toast loaf bagel", "bread"),
    ("sandwich", "bread sandwich"),
    ("cake cupcake", "cake"),
    ("fruit banana apple oranges strawberry grape watermelon lemon mango pineapple cherry peach melon berry", "fruits"),
    (
        "vegetable carrot potato tomato cabbage lettuce cucumber broccoli onion mushroom pumpkin corn cauliflower",
        "vegetables",
    ),
    # nothing
    (
        "glasses sun_glasses glass_door glass_doors glass_wall glass_window glass_windows glass_panel glass_tank "
        "glass_surface piece_of_glass magnifying_glass",
        "",
    ),
    (
        "at_the_camera to_the_camera into_the_camera towards_the_camera toward_the_camera facing_the_camera "
        "from_the_camera on_camera camera_man camera_person",
        "",
    ),
    (
        "black_board white_board cutting_board chopping_board sign_board notice_board key_board board_the "
        "baseball_cap baseball_hat ball_pit",
        "",
    ),
    (
        "hot_dog couch_down train_track train_tracks train_station table_tennis bus_stop bus_station number_plate "
        "license_plate computer_mouse bean_bag sleeping_bag punching_bag duck_down snow_man dish_washer tail_light",
        "",
    ),
)

# Phrases, parted by blanks, with "_" between words and "/" between words of which one is there -> predicates: VidOR's
# 50, and STAR's relations and verbs.
VERBS: tuple[tuple[str, str], ...] = (
    # STAR's relations and verbs stand beside VidOR's of the same meaning
    (
        "watch/watches/watching/watched look/looks/looking/looked/stare/stares/staring/stared/"
        "gaze/gazes/gazing/gazed_at "
        "look/looks/looking/looked/stare/stares/staring/stared_into/towards/toward observe/observes/observing/observed",
        "watch",
    ),
    ("bite/bites/biting/bit/bitten/chew/chews/chewing/chewed/gnaw/gnawing/nibble/nibbling", "bite"),
    ("eat/eats/eating/ate/eaten", "bite eat eating"),
    ("kiss/kisses/kissing/kissed", "kiss"),
    ("lick/licks/licking/licked", "lick"),
    ("smell/smells/smelling/smelled/smelt/sniff/sniffs/sniffing/sniffed", "smell"),
    (
        "caress/caresses/caressing/caressed/carressed/stroke/strokes/stroking/stroked/petting/petted "
        "rub/rubs/rubbing/rubbed",
        "caress",
    ),
    ("pet/pets_the/his/her/its/it", "caress"),
    ("pat/pats/patting/patted", "pat caress"),
    ("knock/knocks/knocking/knocked", "knock"),
    (
        "point/points_at/to/towards/toward/his/her/its/their/the/finger/fingers/out/around pointing/pointed "
        "pointing/pointed_at/to/towards/toward",
        "point_to",
    ),
    ("squeeze/squeezes/squeezing/squeezed/squish/squishing", "squeeze"),
    ("hold/holds/holding/held", "hold holding"),
    ("press/presses/pressing/pressed push/pushes/pushing/pushed_*_button/buttons", "press"),
    ("touch/touches/touching/touched", "touch touching"),
    (
        "hit/hits/hitting/beat/beats/beating/slap/slaps/slapping/slapped/punch/punches/punching/punched/smack/smacks/"
        "smacking/strike/strikes/striking/struck/whack/whacking",
        "hit",
    ),
    ("kick/kicks/kicking/kicked", "kick"),
    ("lift/lifts/lifting/lifted", "lift"),
    ("pick/picks/picking/picked", "lift grab take"),
    ("throw/throws/throwing/threw/thrown/toss/tosses/tossing/tossed/fling/flinging/flung", "throw"),
    ("waving/waved wave/waves_his/her/its/their/the/a/an", "wave wave_hand_to"),
    ("wave/waves/waving/waved_*_hand/hands/arm/arms wave/waves/waving/waved_to/at/towards/goodbye/bye", "wave_hand_to"),
    ("swinging/swung swing/swings_his/her/its/their/the/a", "wave"),
    ("carry/carries/carrying/carried", "carry hug carrying"),
    ("grab/grabs/grabbing/grabbed/grasp/grasps/grasping/grasped/snatch/snatches/snatching/snatched", "grab grasp"),
    ("catch/catches/catching/caught", "grab"),
    (
        "release/releases/releasing/released/drop/drops/dropping/dropped let/lets/letting_*_go put/puts/putting_*_down",
        "release put",
    ),
    ("pull/pulls/pulling/pulled/drag/drags/dragging/dragged/tug/tugs/tugging/tugged", "pull"),
    ("push/pushes/pushing/pushed/shove/shoves/shoving/shoved", "push"),
    ("hug/hugs/hugging/hugged/embrace/embraces/embracing/embraced/cuddle/cuddles/cuddling/cuddled", "hug"),
    ("lean/leans/leaning/leaned/leant_*_on/onto/against", "lean_on leaning_on"),
    ("sit/sits/sitting/sat/seated", "lean_on sitting_on sit"),
    ("lie/lies/lying/lied/lay/laying_down/still_on/in lie/lies/lying/lied/lay/laying_on/in/at", "lean_on lying_on lie"),
    ("rest/rests/resting/rested_*_on/against", "lean_on"),
    ("ride/rides/riding/rode/ridden/cycle/cycles/cycling/cycled/pedal/pedals/pedalling/pedaling", "ride"),
    ("chase/chases/chasing/chased/follow/follows/following/followed run/runs/running/ran_after", "chase"),
    (
        "get/gets/getting/got/climb/climbs/climbing/climbed/hop/hops/hopped_up_on/onto mount/mounts/mounting/mounted "
        "get/gets/getting/got/climb/climbs/climbing/climbed/hop/hops/hopped_on/onto board/boards/boarding/boarded_the",
        "get_on",
    ),
    (
        "get/gets/getting/got/climb/climbs/climbing/climbed/jump/jumps/jumping/jumped/hop/hops/hopped_off "
        "get/gets/getting/got/climb/climbs/climbing/climbed_down/out alight/alights/alighted/dismount/dismounts",
        "get_off",
    ),
    (
        "hold/holds/holding/held_*_hand/hands hold/holds/holding/held_onto_*_hand/hands "
        "hold/holds/holding/held_on_to_*_hand/hands",
        "hold_hand_of",
    ),
    ("shake/shakes/shaking/shook/shaked_hand/hands handshake handshakes", "shake_hand_with"),
    (
        "talk/talks/talking/talked/speak/speaks/speaking/spoke/spoken/converse/converses/conversing/conversed/chat/chats/"
        "chatting/chatted/conversation/communicate/communicates/communicating/communicated/tell/tells/telling/told/say/says/"
        "saying/said/interview/interviews/interviewing",
        "speak_to",
    ),
    ("shout/shouts/shouting/shouted/yell/yells/yelling/yelled/scream/screams/screaming/screamed", "shout_at"),
    ("feed/feeds/feeding/fed", "feed"),
    ("open/opens/opening/opened", "open"),
    ("closes/closing/closed shut/shuts/shutting close_the/his/her/its/it/up", "close"),
    ("use/uses/using/used", "use"),
    ("cut/cuts/cutting/slice/slices/slicing/sliced/chop/chops/chopping/chopped", "cut"),
    (
        "clean/cleans/cleaning/cleaned/wash/washes/washing/washed/sweep/sweeps/sweeping/swept/mop/mops/mopping/mopped",
        "clean wash",
    ),
    ("wipe/wipes/wiping/wiped", "clean wiping"),
    ("drive/drives/driving/drove/driven/steer/steers/steered", "drive"),
    (
        "play/plays/playing/played_*_guitar/guitars/piano/drum/drums/keyboard/violin/flute/saxophone/accordion/trumpet/"
        "harmonica/cello/ukulele/tambourine/xylophone/banjo/harp/instrument/instruments/music/song/songs "
        "play/plays/playing/played_on_*_guitar/piano/drum/drums/keyboard strum/strums/strumming/strummed "
        "perform/performs/performing/performed",
        "play(instrument)",
    ),
    # VidOR's spatial predicates
    ("above on_top on_top_of", "above"),
    ("away", "away"),
    ("behind", "behind"),
    ("beneath under underneath below", "beneath under"),
    ("in_front infront in_front_of", "in_front_of"),
    ("inside", "inside"),
    ("beside besides next_to close_to side_by_side", "next_to near on_the_side_of"),
    ("near nearby nearer", "next_to near"),
    ("towards toward approach/approaches/approaching/approached", "towards"),
    # STAR only
    ("drink/drinks/drinking/drank/drunk", "drink drinking_from"),
    ("wear/wears/wearing/wore/worn", "wearing"),
    ("stand/stands/standing/stood", "stand standing_on"),
    ("write/writes/writing/wrote/written", "writing_on"),
    ("twist/twists/twisting/twisted", "twisting"),
    ("cover/covers/covered_by/with/in", "covered_by"),
    ("put/puts/putting/place/places/placing/placed", "put"),
    ("take/takes/taking/took", "take"),
    ("tidy/tidies/tidied/tidying", "tidy"),
    ("turn/turns/turning/turned", "turn"),
    ("walk/walks/walking/walked", "walk"),
    # nothing
    (
        "on at close a/the/his/her/wrist_watch a_bit bit_of near/nearing_*_end/ending/beginning/start/middle near_end "
        "in_between used_to use/uses/using/used_*_hand/hands/finger/fingers/leg/legs/foot/mouth/paw/paws "
        "use/uses/using/used_*_body_language open/opens/opening/opened/closes/closing/closed_*_mouth/mouths/eye/eyes "
        "look/looks/looking/looked/turn/turns/turning/turned/put/puts/take/takes/took/throw/throws/give_away "
        "react/reacts/reacted/affection/feel/feels/turn/turns/turned_towards/toward crew/hair_cut cutting_board "
        "steering_wheel the_cut the_rest follow/followed/following_by speaking_of catch/catches/caught_up/attention "
        "caught_on_camera follow_command",
        "",
    ),
)

_Entry = tuple[tuple[str, ...], tuple[str, ...], Tiers]
"""Words before the gap, words after it (empty where there is no gap), and what the phrase means."""
_Index = Mapping[str, tuple[_Entry, ...]]
"""First word of a phrase -> the phrases that start so, longest first."""

_WORD = re.compile(r"[^\W_]+")
_GAP = 3
_GAP_ENDS = frozenset(
    {
        "in",
        "on",
        "onto",
        "into",
        "with",
        "to",
        "of",
        "at",
        "from",
        "by",
        "for",
        "over",
        "and",
        "or",
        "as",
        "while",
        "after",
        "before",
        "when",
    }
)


def words(text: str) -> tuple[str, ...]:
    """The words of a text, as rule 1 says."""
    return tuple(_WORD.findall(text.lower()))


def own_phrases(name: str) -> frozenset[tuple[str, ...]]:
    """The phrases that a category matches by its own name, singular and plural, as words."""
    parts = [words(part) for part in name.split("/")]
    return frozenset(form for part in parts if part for form in (part, _plural(part), _singular(part)))


def match_categories(text: str, categories: Collection[str]) -> frozenset[str]:
    """Those of `categories` (the names annotated in a scene, of any source) that words of `text` stand for."""
    names = frozenset(categories)
    found = _meanings(words(text), _noun_index(names - _KNOWN_CATEGORIES))
    return frozenset(name for tiers in found for name in next((t & names for t in tiers if t & names), ()))


def match_phrases(text: str, categories: Collection[str]) -> tuple[frozenset[str], ...]:
    """As `match_categories`, phrase by phrase: "is the boy on the sofa" -> ({child}, {sofa}); phrases that match
    nothing are left out."""
    names = frozenset(categories)
    found = _meanings(words(text), _noun_index(names - _KNOWN_CATEGORIES))
    each = (next((t & names for t in tiers if t & names), frozenset()) for tiers in found)
    return tuple(matched for matched in each if matched)


def match_predicates(text: str, predicates: Collection[str]) -> frozenset[str]:
    """Those of `predicates` (the names of a scene's relations, of any source) that words of `text` stand for."""
    names = frozenset(predicates)
    found = _meanings(words(text), _verb_index(names - _KNOWN_PREDICATES))
    return frozenset(name for tiers in found for tier in tiers for name in tier & names)


def is_verb(word: str) -> bool:
    """Whether the table has a word in small letters, or what it is a regular form of, as a verb and not as a noun."""
    nouns = _noun_index(frozenset())
    return not any((w,) == head for w in _bases(word) for head, _, _ in nouns.get(w, ())) and any(
        base in _verbs() for base in _bases(word)
    )


def is_noun(word: str) -> bool:
    """Whether a word in small letters means a category by itself, or is the name of one or its last word ("chair")."""
    return any(head == (word,) and not tail for head, tail, _ in _noun_index(frozenset()).get(word, ())) or (
        word in _last_words()
    )


@lru_cache(maxsize=1)
def _last_words() -> frozenset[str]:
    """The last words of the names of categories that have several: of `ball/sports_ball`, "ball"."""
    return frozenset(phrase[-1] for name in _KNOWN_CATEGORIES for phrase in own_phrases(name) if len(phrase) > 1)


@lru_cache(maxsize=1)
def _verbs() -> frozenset[str]:
    """The first words of phrases that mean a predicate."""
    return frozenset(phrase[0] for phrase, meaning in _VERB_PHRASES.items() if meaning)


def _plural(phrase: tuple[str, ...]) -> tuple[str, ...]:
    last = phrase[-1]
    if re.search(r"[^aeiou]y$", last):
        last = last[:-1] + "ies"
    else:
        last += "es" if last.endswith(("s", "x", "ch", "sh")) else "s"
    return (*phrase[:-1], last)


def _singular(phrase: tuple[str, ...]) -> tuple[str, ...]:
    last = phrase[-1]
    if last.endswith("ies"):
        last = last[:-3] + "y"
    elif last.endswith("s") and not last.endswith("ss"):
        last = last[:-1]
    return (*phrase[:-1], last)


def _tiers(names: str) -> Tiers:
    return tuple(frozenset(tier.split()) for tier in names.split(">") if tier.strip())


def _meanings(tokens: tuple[str, ...], index: _Index) -> Iterator[Tiers]:
    """What the phrases in a text mean, by rule 2."""
    position = 0
    while position < len(tokens):
        for head, tail, meaning in index.get(tokens[position], ()):
            end = _end(tokens, position, head, tail)
            if end is not None:
                yield meaning
                position = end
                break
        else:
            position += 1


def _end(tokens: tuple[str, ...], start: int, head: tuple[str, ...], tail: tuple[str, ...]) -> int | None:
    """Position after a phrase that starts at `start`; None where it does not stand there."""
    end = start + len(head)
    if tokens[start:end] != head:
        return None
    for gap in range(_GAP + 1 if tail else 0):
        if tokens[end + gap : end + gap + len(tail)] == tail:
            return end + gap + len(tail)
        if end + gap >= len(tokens) or tokens[end + gap] in _GAP_ENDS:
            return None
    return None if tail else end


def _index(phrases: Iterable[tuple[tuple[str, ...], Tiers]]) -> _Index:
    by_first: dict[str, list[_Entry]] = {}
    for phrase, meaning in phrases:
        cut = phrase.index("*") if "*" in phrase else len(phrase)
        by_first.setdefault(phrase[0], []).append((phrase[:cut], phrase[cut + 1 :], meaning))
    return {
        first: tuple(sorted(entries, key=lambda e: (-len(e[0]) - len(e[1]), e[0], e[1])))
        for first, entries in by_first.items()
    }


def _noun_phrases() -> dict[tuple[str, ...], Tiers]:
    phrases: dict[tuple[str, ...], Tiers] = {}
    toys: dict[tuple[str, ...], Tiers] = {}
    young: dict[tuple[str, ...], Tiers] = {}
    for texts, names in NOUNS:
        tiers = _tiers(names)
        for phrase in (tuple(text.split("_")) for text in texts.split()):
            forms = (phrase, _plural(phrase)) if tiers else (phrase,)
            for form in forms:
                phrases[form] = tiers
                if tiers and tiers[0] <= _ANIMALS:
                    young |= {("baby", *form): tiers}
                if len(tiers) > 1 and "toy" in tiers[-1]:  # "toy car", "plush tigers", "dog toy"
                    like = (("toy", *form), ("stuffed", *form), ("plush", *form), (*form, "toy"), (*form, "toys"))
                    toys.update(dict.fromkeys(like, (frozenset({"toy"}), *tiers[:-1])))
    return toys | young | phrases


def _verb_phrases() -> dict[tuple[str, ...], Tiers]:
    phrases: dict[tuple[str, ...], Tiers] = {}
    for texts, names in VERBS:
        for text in texts.split():
            for phrase in itertools.product(*(part.split("/") for part in text.split("_"))):
                phrases[phrase] = _tiers(names)
    return phrases


def _names_of(phrases: Mapping[tuple[str, ...], Tiers]) -> frozenset[str]:
    return frozenset(name for tiers in phrases.values() for tier in tiers for name in tier)


_NOUN_PHRASES = _noun_phrases()
_VERB_PHRASES = _verb_phrases()
_KNOWN_CATEGORIES = _names_of(_NOUN_PHRASES) | frozenset(PLAIN_CATEGORIES.split())
_KNOWN_PREDICATES = _names_of(_VERB_PHRASES) | frozenset(PLAIN_PREDICATES.split())


@lru_cache(maxsize=256)
def _noun_index(others: frozenset[str]) -> _Index:
    """The table with the own names of all its categories, and of others that it does not know, at first place."""
    phrases = dict(_NOUN_PHRASES)
    for name in sorted(_KNOWN_CATEGORIES | others):
        for phrase in own_phrases(name):
            _add_name(phrases, phrase, name)
    return _index(phrases.items())


@lru_cache(maxsize=256)
def _verb_index(others: frozenset[str]) -> _Index:
    phrases = dict(_VERB_PHRASES)
    for name in sorted(_KNOWN_PREDICATES):
        if "(" not in name:
            _add_name(phrases, words(name), name)
    for name in sorted(others):
        for phrase in _inflected(words(name)):
            _add_name(phrases, phrase, name)
    return _index(phrases.items())


def _inflected(phrase: tuple[str, ...]) -> set[tuple[str, ...]]:
    """The phrase with its first word in every regular form of the verb that it may be a form of, and in all listed
    forms where one of these is listed: "drives" -> drive, drives, driving, drove, ... Some are no words, and match
    nothing."""
    if not phrase:
        return set()
    if phrase[0] in ("is", "are") and len(phrase) > 1:  # "is holding"
        return {phrase} | _inflected(phrase[1:])
    first, *rest = phrase
    forms = {first} | {form for base in _bases(first) for form in _forms(base)}
    meant = {name for form in forms for tier in _VERB_PHRASES.get((form,), ()) for name in tier if name == form}
    forms |= {p[0] for p, tiers in _VERB_PHRASES.items() if len(p) == 1 and any(meant & tier for tier in tiers)}
    return {(form, *rest) for form in forms}


def _bases(word: str) -> set[str]:
    """What a word may be a regular form of, itself included."""
    bases = {word}
    for ending, others in (("ies", ("y",)), ("es", ("", "e")), ("s", ("",)), ("ing", ("", "e")), ("ied", ("y",))):
        if word.endswith(ending) and len(word) > len(ending) + 1:
            bases |= {word[: -len(ending)] + other for other in others}
    if word.endswith("ed") and len(word) > 4:
        bases |= {word[:-2], word[:-1]}
    doubled = {b for b in bases - {word} if len(b) > 3 and b[-1] == b[-2] and b[-1] not in "ls"}
    return bases | {base[:-1] for base in doubled}


def _forms(base: str) -> set[str]:
    """The regular forms of a verb."""
    stem = base[:-1] if base.endswith("e") and not base.endswith("ee") else base
    past = base[:-1] + "ied" if re.search(r"[^aeiou]y$", base) else stem + "ed"
    doubles = re.search(r"[^aeiou][aeiou][^aeiouwxy]$", base)
    doubled = {base + base[-1] + ending for ending in ("ing", "ed")} if doubles else set()
    return {base, _plural((base,))[0], stem + "ing", past} | doubled


def _add_name(phrases: dict[tuple[str, ...], Tiers], phrase: tuple[str, ...], name: str) -> None:
    """Let a phrase mean `name` before all else, unless it is listed as meaning nothing."""
    meaning = phrases.get(phrase, (frozenset(),))
    if phrase and meaning:
        phrases[phrase] = (meaning[0] | {name}, *meaning[1:])
