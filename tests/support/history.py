"""A database as it looks after a while: mostly runs that are over, some that wait, few that run."""

from sqlalchemy import Connection, text

ENDED, PENDING, SCHEDULED, RUNNING = 40_000, 8_000, 2_000, 40


def fill_history(connection: Connection) -> None:
    """Fills the tables; with statistics where the database gathers them by itself, which SQLite does not."""
    for statement in _FILL.split(";"):
        connection.execute(text(statement))
    if connection.dialect.name == "postgresql":
        connection.execute(text("analyze"))


def _numbers(most: int) -> str:
    return f"with recursive n(i) as (select 1 union all select i + 1 from n where i < {most})"


_FILL = f"""
insert into projects (id, name, description, created_at) values (1, 'p', '', 1), (2, 'q', '', 1);
insert into users (id, name, created_at) values (1, 'ana', 1);
insert into workers (id, name, user_id, state, reason, session_epoch, instance, boot_id, version, properties,
    slots, load, free_disk_bytes, registered_at)
    {_numbers(20)} select i, 'worker-' || i, 1, 'online', '', 0, '', '', '', '{{}}', 4, 0, 0, 1 from n;
insert into jobs (id, project_id, name, version_id, enabled)
    {_numbers(50)} select i, 1 + i % 2, 'job-' || i, i, true from n;
insert into job_versions (id, job_id, number, specification, signature, created_at)
    {_numbers(50)} select i, i, 1, '{{}}', 's' || i % 9, 1 from n;
insert into schedules (id, job_id, specification, enabled, next_fire_at)
    {_numbers(50)} select i, i, '{{}}', true, i * 1000000 from n;
insert into runs (creation_key, project_id, job_id, job_version_id, signature, slots, priority, parameters, source,
    state, reason, attempt, attempts_counted, worker_id,
    created_at, due_at, pending_at, expires_at, ended_at, stop_requested_at, log_length, rank, unique_key)
    {_numbers(ENDED + PENDING + SCHEDULED + RUNNING)}
    select 'k' || i, 1 + i % 2, 1 + i % 50, 1 + i % 50, 's' || i % 9, 1, i % 3, '{{}}', 'user ana',
        case when i <= {ENDED} then case when i % 10 = 0 then 'failed' else 'succeeded' end
            when i <= {ENDED + PENDING} then 'pending'
            when i <= {ENDED + PENDING + SCHEDULED} then 'scheduled' else 'running' end,
        '', 1, 1, case when i <= {ENDED} or i > {ENDED + PENDING + SCHEDULED} then 1 + i % 20 end,
        i, case when i > {ENDED + PENDING} then i * 1000 end, case when i > {ENDED} then i end,
        case when i > {ENDED} then i * 1000 end, case when i <= {ENDED} then i end,
        case when i % 5000 = 0 then i end, 0, i, case when i % 4 = 0 then 'repo-' || i % 100 end from n;
insert into run_matchings (signature, matching) {_numbers(3000)} select 's' || (i - 1), '{{}}' from n;
insert into run_demands (signature, resource, amount, most)
    {_numbers(3000)} select 's' || (i - 1), 'group p/g' || (i - 1), 1, 2 from n;
insert into run_demands (signature, resource, amount, most)
    {_numbers(300)} select 's' || (i - 1), 'lock gate', 1, 1 from n;
insert into locks (name, capacity, project_id) {_numbers(50)} select 'lock-' || i, 2, 1 from n;
insert into attempts (run_id, number, worker_id, epoch, state, reason, offered_at, ended_at,
    sequence, log_length, lost_bytes)
    select id, 1, worker_id, 1, case when ended_at is null then 'started' else 'succeeded' end, '', 1, ended_at,
        0, 0, 0 from runs where worker_id is not null;
update attempts set cause = 'lost' where number = 1 and run_id % 100 = 0 and ended_at > 0;
insert into run_starts (resource, at, run_id, attempt)
    select 'rate p/job-' || job_id, created_at, id, 1 from runs where id < 10000;
insert into run_events (run_id, at, kind, actor, detail) select id, 1, 'created', 'user ana', '' from runs;
insert into run_results (run_id, name, value, text)
    select id, 'version', '"1"', cast(id % 1000 as text) from runs where ended_at > 0;
insert into schedule_ticks (schedule_id, due_at, decided_at, decision)
    select 1, id, id, 'fired' from runs where id < 3000
"""
