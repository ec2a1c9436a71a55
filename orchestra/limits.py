"""Every bound and beat of the product, with its unit in its name, so that no number hides in the code."""

from typing import Final

# --- protocol ---
PROTOCOL_VERSIONS: Final = range(1, 2)
"""What this program speaks."""
SUBPROTOCOL: Final = "orchestra.v1"
HEARTBEAT_SECONDS: Final = 5.0
HEARTBEAT_SECONDS_MIN: Final = 0.5
"""Whatever a master wants to hear more often."""
SILENCE_SECONDS_MAX: Final = 13.0
"""A peer that says nothing for so long is gone: noticed within 15 s whatever the beat's phase."""
HELLO_SECONDS_MAX: Final = 10.0
OFFER_SECONDS_MAX: Final = 4.0
"""An offer that is not accepted by then is withdrawn: back to pending within 5 s."""
NUMBER_MAX: Final = (1 << 53) - 1
"""Exact in every JSON reader, and in both databases."""
SMALL_NUMBER_MAX: Final = (1 << 31) - 1
"""What a plain integer column holds."""
EXIT_CODE_MAX: Final = (1 << 31) - 1
INSTANT_MAX: Final = 253_402_300_799_999_999
"""The end of the year 9999, in microseconds: later instants have no RFC 3339 text."""
SLOTS_MAX: Final = 1024
FRAME_BYTES_MAX: Final = 1 << 20
FRAME_MESSAGES_MAX: Final = 256
CHUNK_BYTES_MAX: Final = 256 << 10
RUN_WINDOW_BYTES: Final = 4 << 20
WORKER_WINDOW_BYTES: Final = 8 << 20
"""What is under way is waited for by whoever comes next: 32 MiB made a quiet run's lines a second late."""
INBOX_TEXT_BYTES_MAX: Final = 4 << 20
"""Of what a worker has said and the master has not begun to store; beyond it the master does not read on."""
OUTGOING_MESSAGES_MAX: Final = 20_000
"""For a worker that talks and does not take what it is sent; beyond it the connection is closed."""
BYE_SECONDS: Final = 2.0
"""Within so long the workers come back after a master has closed on purpose."""
GREETINGS_AT_ONCE_MAX: Final = 32
"""Workers between the accepted socket and their welcome: enough for one commit to serve many. With 16 a thousand took
13 to 20 s, for each is a way to the worker and back; with 64 the event loop was late by half a second."""
GREETING_SECONDS_MAX: Final = 0.5
"""Who has not said hello by then takes no place from those who come next."""
HANDSHAKES_WAITING_MAX: Final = 1000
HANDSHAKE_WAIT_SECONDS_MAX: Final = 0.75
"""A worker that had to wait for longer is told to come again."""
RECONNECT_SECONDS_MIN: Final = 0.5
RECONNECT_SECONDS_MAX: Final = 10.0
REFUSED_RECONNECT_SECONDS: Final = 60.0
"""After a refused token: it is said in the log once and tried again slowly."""

CLOSE_SECONDS_MAX: Final = 2.0
"""For the closing handshake of a connection: a half-open one never answers."""
LET_GO_SECONDS: Final = 10.0
"""After the end of a connection, for a peer that does not read what it was sent last."""
TAKEOVER_SECONDS: Final = 60.0
TAKEOVERS_MAX: Final = 3
"""So many takeovers between live instances of one name within that time: both are quarantined."""
REFUSED_OFFER_SECONDS: Final = 5.0
"""A worker that refused an offer, or let it pass, gets no other for so long."""

# --- logs ---
SEGMENT_BYTES: Final = 1 << 20
"""The unit of the log digest."""
LOGS_OPEN_MAX: Final = 256
"""Descriptors that the master holds for logs being written."""
FILES_PER_SYNCFS_MIN: Final = 3
"""So many log files are synced by one `syncfs` (0.45 ms for ten files, where `fdatasync` took 0.29 ms for each)."""

# --- worker ---
STEP_DRAIN_SECONDS: Final = 1.0
"""How long a step's output is awaited after its main process has ended, if a descendant keeps the pipe."""
LEFTOVER_GRACE_SECONDS: Final = 0.3
"""Between SIGTERM and SIGKILL for what is left of a step that has ended."""
TEARDOWN_SECONDS_MAX: Final = 300.0
WORKER_DISK_RESERVE_BYTES: Final = 256 << 20
"""Below this much free disk a worker refuses offers."""
RESULTS_BYTES_MAX: Final = 512 << 10
CHECK_IN_CHARACTERS_MAX: Final = 500
CHECK_IN_BYTES_MAX: Final = 64 << 10
"""Of the check-in file read at once; what is older than the last so many unread bytes is skipped."""
CHECK_IN_SECONDS_MIN: Final = 0.5
"""Check-ins of one attempt become at most one event in so long: the newest counts."""
LOG_BACKLOG_BYTES_MAX: Final = 256 << 20
"""Of a log that the master has not stored; beyond it a step that writes faster than the link has to wait."""
HOLD_SECONDS: Final = 10.0
"""A step is held back for so long at most after the master has last stored something of its log."""
LOG_SYNC_SECONDS: Final = 0.8
"""Logs that grew are put on the disk so often: with the sync itself, a power failure costs a second of output."""
JOURNAL_RETRY_SECONDS: Final = 1.0
"""A journal that cannot be written (a full disk) is tried again so often; the attempt waits meanwhile."""
CONNECT_SECONDS_MAX: Final = 10.0
BYE_SECONDS_MAX: Final = 600.0
"""A master cannot send a worker away for longer."""
SECRET_BYTES_MIN: Final = 6
"""A shorter secret would mask innocent text."""
ARGUMENT_BYTES_MAX: Final = 128 << 10
FORMAT_WIDTH_MAX: Final = 128

END_REPEAT_SECONDS: Final = 0.5
"""How often a part of the agent is told to end, until it has."""

# --- storage ---
BATCH_CHANGES_MAX: Final = 256
"""Changes that share one commit."""
SIGNALS_HELD_MAX: Final = 1000
"""Of one subscription; beyond it, signals are folded into one per topic."""
DATABASE_CONNECT_SECONDS_MAX: Final = 10.0
DATABASE_ANSWER_SECONDS_MAX: Final = 30.0
"""A statement that takes longer is given up, and its connection with it."""
DATABASE_LOCK_SECONDS_MAX: Final = 10.0
"""How long a statement waits for a row that another program has locked."""
DATABASE_TRIES_MAX: Final = 5
"""Of a change that met a conflict, or whose connection was lost before the commit."""
DATABASE_RETRY_SECONDS: Final = 0.2
"""Before the second try on a new connection; doubled before each later one."""
DATABASE_CONFLICT_SECONDS: Final = 0.01
"""Before the second try of a change that met a conflict; doubled likewise."""
POSTGRES_READERS: Final = 4
LISTEN_PROBE_SECONDS: Final = 15.0
"""How often a silent connection for signals is asked whether it is still there."""
SQLITE_READERS: Final = 3
SQLITE_BUSY_SECONDS_MAX: Final = 5.0
SQLITE_WAL_BYTES: Final = 16 << 20
"""A write-ahead log that has grown beyond this is emptied when the writer has nothing else to do."""
PAGE_ROWS_DEFAULT: Final = 50
PAGE_ROWS_MAX: Final = 200
COUNT_ROWS_MAX: Final = 1000
"""Counts stop here and say so."""
SCAN_ROWS_MAX: Final = 10_000
"""Of the runs that one filter gives, so many are looked at for the others before a page says how far it has looked."""
LEADING_VALUES_MAX: Final = 12
"""Of one filter whose runs are merged from an index; with more it is looked at run by run."""
USUAL_RUNS: Final = 20
"""Runs that succeeded, whose median is the usual duration of a job."""
USUAL_RUNS_LOOKED_AT: Final = 100
CREATED_SLACK_ROWS: Final = 1000
"""Runs made at about the same time by programs whose clocks differ need not be numbered in that order."""

RESULT_TEXT_CHARACTERS_MAX: Final = 500
"""Of a result, for filters: PostgreSQL refuses an index entry beyond 2704 bytes, and with it the whole report."""
JOB_VERSIONS_KEPT_MAX: Final = 4096
"""In memory, per reader."""

# --- master ---
POLL_SECONDS: Final = 5.0
"""The safety net below every signal: losing all of them costs so much latency and nothing else."""
ALONE_POLL_SECONDS: Final = 30.0
"""The same where all parts are one process, in which no signal is lost."""
ALONE_CONTACT_SECONDS: Final = 15.0
"""How often a master that has no others beside it writes down when workers were heard: nobody else asks."""
PART_RESTART_SECONDS_MIN: Final = 0.5
"""Before a duty of the master that broke begins anew; doubled each time."""
PART_RESTART_SECONDS_MAX: Final = 60.0
"""A duty that went well for so long is new again."""
ALONE_SECONDS_MAX: Final = 15.0
"""A master that cannot write to its database for so long sends its workers to another one."""
DATABASE_SIGN_SECONDS_MAX: Final = 5.0
"""How long the database may take for a write that changes nothing, before the master takes it for away."""
OFFERS_PER_PASS_MAX: Final = 64
SIGNATURES_PER_PASS_MAX: Final = 256
"""Whose heads one pass of the dispatcher looks at; the others' turn is the next pass."""
SHARE_HALF_LIFE_SECONDS: Final = 600.0
"""In so long what a project had of the slots counts half."""
SHARE_OF_A_START_SECONDS: Final = 1.0
"""What a start is charged with at once, for each of its slots."""
SHARE_STEP_SECONDS_MAX: Final = 5.0
"""Of time between two looks, that is charged."""
HOLD_BACK_SECONDS: Final = 60.0
"""A run that needs much waits so long before room is kept free for it."""
SIGNATURES_REMEMBERED_MAX: Final = 10_000
"""What their runs need is remembered of so many signatures that nobody waits with."""
ELDERS_LOOKED_AT_MAX: Final = 32
"""Signatures that need much and are blocked, whose next run one pass looks at."""
POINT_OF_PRIORITY_SECONDS: Final = 600
"""What a point of priority is worth in waiting."""
RESOURCE_CHARACTERS_MAX: Final = 200
"""Of a name that policies make of parameters."""
PREFETCH_SECONDS: Final = 0.1
"""A worker is given as many runs beyond its slots as it has ended in so long: they will start about as soon."""
PREFETCHED_MAX: Final = 64
"""No more runs wait at one worker, however many slots it has."""
PREFETCHED_SECONDS_MAX: Final = 2.0
"""A run that has waited at its worker for a free slot for so long goes back into the queue."""
RESCUE_SECONDS: Final = 5.0
RESCUE_PATIENCE_SECONDS: Final = 300.0
"""After a master's start no worker is declared lost for so long: the master's own downtime does not count."""
RESCUE_GAP_SECONDS_MAX: Final = 30.0
"""A master that could not look for longer (a database that was away, a machine that slept) is patient again."""
REPLACE_MARGIN_SECONDS: Final = 15.0
"""After a worker must have ended a run by itself (`disconnect: stop`), before another attempt may begin."""
TICKER_SECONDS_MAX: Final = 1.0
"""While a schedule is due some time, the ticker looks at the wall clock at least so often: it may jump."""
TICKS_PER_PASS_MAX: Final = 1000
EXPECTED_EARLY_SECONDS: Final = 60.0
"""A run that starts so shortly before an instant at which one is expected counts for it: clocks differ."""
STARTS_LOOKED_AT: Final = 20
"""Of a job's newest runs: one that was made earlier may have started later."""
LATE_LOOK_SECONDS: Final = 60.0
"""A look at what is expected that comes later than this comes after an outage of all masters."""
EXPECTED_PATIENCE_SECONDS: Final = 300.0
"""After such an outage, for what was kept meanwhile to be delivered."""

# --- service ---
BODY_BYTES_MAX: Final = 1 << 20
PASSWORD_ROUNDS: Final = 1_000_000
PASSWORD_SALT_BYTES: Final = 32
PASSWORD_CHARACTERS_MIN: Final = 15
PASSWORD_CHARACTERS_MAX: Final = 128
SIGN_IN_QUEUE_MAX: Final = 20
TOKEN_BYTES: Final = 32
TOKEN_DAYS_MAX: Final = 366
SESSION_DAYS: Final = 7
SESSION_DAYS_MAX: Final = 30
SIGN_IN_LINK_MINUTES: Final = 60
INVITATION_HOURS: Final = 24
"""How long a link works that an administrator has made for somebody."""
IDEMPOTENCY_HOURS: Final = 24
DELAY_SECONDS_MAX: Final = 366 * 86_400.0
RUN_AT_PAST_SECONDS_MAX: Final = 60.0
"""A moment to start at that has passed for no longer is now."""
WRAP_CHUNK_BYTES_MAX: Final = 256 << 10
"""Of a wrapped run's log, in one request."""
WRAP_TEXT_CHARACTERS_MAX: Final = 1000
"""Of a wrapped command, for people."""
WRAPPED_SECONDS_MAX: Final = 366 * 86_400.0
WRAP_LOST_SECONDS: Final = 3600.0
"""A wrapped run that is not heard of for so long is given up, unless its job says otherwise."""
PRIORITY_MAX: Final = 100
REASON_CHARACTERS_MAX: Final = 500
"""Of why somebody switches or steers something."""
FORM_FIELDS_MAX: Final = 500
IDEMPOTENCY_KEY_CHARACTERS_MAX: Final = 255
CONTACT_SECONDS_MAX: Final = 30.0
"""A worker whose last contact in the database is older is shown as out of contact, whatever its master said last."""
LATE_SECONDS: Final = 60.0
"""A schedule whose instant has passed for so long without a decision is shown as late."""
LONG_WAIT_SECONDS: Final = 300.0
"""A run that is pending for longer is shown among what needs attention."""
SCHEDULE_INSTANTS_SHOWN: Final = 5
"""Of each schedule, with the schedule."""
SCHEDULE_INSTANTS_MAX: Final = 100
"""That may be asked for at once."""
CALENDAR_SCHEDULES_MAX: Final = 200
"""Schedules that a calendar's forecast counts."""
BEFORE_COUNT_MAX: Final = 100
"""How many runs before a waiting one are counted."""
KEEP_ALIVE_SECONDS: Final = 60
REQUEST_HEAD_BYTES_MAX: Final = 64 << 10
"""Of a request line with its headers, as long as it is not whole."""
REQUEST_HEAD_SECONDS_MAX: Final = 20.0
"""For the head of a request, or the rest of one that was refused, before the connection is closed."""
BODY_SECONDS_MAX: Final = 60.0
"""For the body of a request that is served."""
SHUTDOWN_SECONDS_MAX: Final = 10
"""How long the server waits for open requests when it stops."""
FAREWELL_SECONDS_MAX: Final = 3.0
"""How long the master may take to say goodbye to its workers."""
HEALTH_SECONDS_MAX: Final = 5.0
HEALTH_CHECK_SECONDS_MAX: Final = 1.0
"""Of one check on the page of the administrators."""
HOUSEKEEPING_SECONDS: Final = 3600.0
BEARERS_KEPT_MAX: Final = 10_000
BEARER_SECONDS_MAX: Final = 1.0
"""How long a token's or session's look-up is believed: so long a revoked one may still be let in elsewhere."""
SEEN_SECONDS: Final = 300.0
"""How often it is written down that a person is there."""
ADDRESS_CHARACTERS_MAX: Final = 45
AGENT_CHARACTERS_MAX: Final = 120
"""Of a browser's User-Agent, for the list of one's sessions."""
SIGN_IN_FAILURE_SECONDS: Final = 900.0
"""So long a sign-in that failed counts."""
ACCOUNT_FAILURES_MAX: Final = 5
"""Within that time, under one name: from then on each next try has to wait, twice as long each time."""
ADDRESS_FAILURES_MAX: Final = 20
"""The same from one address."""
SIGN_IN_DELAY_SECONDS_MAX: Final = 300
"""The longest wait: nobody is ever locked out."""
STREAM_BYTES_MAX: Final = 64 << 10
"""The log that one event of a stream carries."""
STREAM_PING_SECONDS: Final = 15.0
STREAMS_MAX: Final = 200
"""Streams and downloads that one token or session has open at once."""
STREAMS_ALL_MAX: Final = 1000
"""The same of everybody, in one process."""
STREAM_RETRY_SECONDS: Final = 10
"""After so long one who has too many of them may try again."""
GUESSES_PER_MINUTE: Final = 600
"""Tokens and sessions from one address that are none: each costs a look into the database."""
PER_MINUTE_MAX: Final = 1_000_000
"""Of a limit that is chosen."""
BUCKETS_MAX: Final = 10_000
"""Of one limit, in memory."""
EVENTS_READ_MAX: Final = 200
"""Of runs, read at once for one who follows."""
EVENTS_SPAN_MAX: Final = 5_000
"""Numbers of events that one reading looks through, for somebody who may see few of them."""
EVENTS_LOOKED_AT_MAX: Final = 2_000
"""Numbers in which gaps are searched for one by one."""
EVENT_GAP_SECONDS: Final = 0.1
"""How soon it is looked again for an event whose number is given, but which is not committed yet."""
EVENT_GAP_SECONDS_MAX: Final = 60.0
"""For so long one is waited for."""
EVENT_PAUSE_SECONDS: Final = 0.002
"""Between two looks for those who follow events, while little happens."""
EVENT_PAUSE_SECONDS_MAX: Final = 0.05
"""The same while much happens."""
EVENTS_OF_A_BUSY_LOOK: Final = 5
"""A look that finds more of them is followed by the longer pause."""
COUNT_OPEN_RUNS_MAX: Final = 10_000
"""Of each state, for the metrics."""
COUNT_SPAN_MAX: Final = 100_000
"""Events that one reading of the metrics counts; what is left is counted by the next."""
LAG_SECONDS: Final = 5.0
"""How often the event loop's lateness is looked at."""
LOG_PIECE_BYTES: Final = 256 << 10
LINE_BLOCK_BYTES: Final = 256 << 10
"""The unit in which lines are counted and searched: a thread holds the interpreter for about 0.1 ms for each."""
LINE_SLICE_BLOCKS: Final = 64
"""Blocks that one task of a thread reads, before another's turn."""
LINE_INDEX_BLOCKS_MAX: Final = 1 << 20
"""Of all logs whose lines are known, in memory: 8 bytes each, for 256 GiB of log."""
WINDOW_LINES_MAX: Final = 2000
CHUNK_LINES: Final = 500
WINDOW_BYTES_MAX: Final = 1 << 20
"""Of log in one window; long lines end it before its last line."""
WINDOW_READ_BYTES_MAX: Final = 8 << 20
LINE_BYTES_MAX: Final = 4 << 10
"""Of one line that a page shows; the raw log has the rest."""
SEARCH_HITS_MAX: Final = 200
SEARCH_BYTES_MAX: Final = 2 << 30
"""What one search reads; the page offers to go on from there."""
SEARCH_CHARACTERS_MAX: Final = 200
SEARCHES_MAX: Final = 16
"""In logs, at the same time in one process; they take turns, and go on though their reader has gone."""
SEARCH_RETRY_SECONDS: Final = 10
LIVE_SECONDS_MIN: Final = 0.2
"""Between two looks at a log that a page follows: what came meanwhile comes together."""
LIVE_SECONDS_MAX: Final = 1800.0
"""A page that follows a log without a script ends then, and offers to go on."""
TAIL_LINES: Final = 20
"""Of a log, that a run's first page shows."""
FOLLOW_LINES: Final = 100
"""Of a log that still grows, that the page shows before it goes on in place."""
LIVE_LINES_FIRST: Final = 500
LIVE_LINES_MAX: Final = 20_000
TAIL_LINES_MAX: Final = 10_000
TAIL_BYTES_MAX: Final = 4 << 20
DEFAULT_PORT: Final = 7780
DEFAULT_MASTER_PORT: Final = 7781
DEFAULT_WEBSITE_PORT: Final = 7782
"""Of a master in a process of its own; `orchestra up` has one port for everything."""

# --- pipelines ---
ELEMENTS_MAX: Final = 5000
EXPANSION_MAX: Final = 10_000
"""Runs of one element, by its matrix or its list."""
NESTING_MAX: Final = 8
"""Pipelines within pipelines."""

# --- orchestra up ---
CHILD_RESTART_SECONDS: Final = 1.0
"""Before a local worker that has ended is started again."""
CHILD_END_SECONDS_MAX: Final = 5.0
DEMO_SECONDS_MAX: Final = 90.0
