-- name: saga_insert
INSERT INTO hanse_saga
(id, name, version, owner, fence, due, input, correlation_id, traceparent, created_at, updated_at)
VALUES (:id, :name, :version, :owner, :fence, :due, :input, :correlation_id, :traceparent, :now, :now)
ON CONFLICT (id) DO NOTHING;

-- name: mark_insert
INSERT INTO hanse_saga_step
(saga_id, step, kind, name, fence, owner, attempts, result, error, started_at, at)
SELECT id, :step, :kind, :name, fence, owner, :attempts, :result, :error, :started_at, :now
FROM hanse_saga WHERE id = :id AND fence = :fence AND owner IS NOT NULL AND state < 3
ON CONFLICT (saga_id, step, kind) DO NOTHING;

-- name: mark_saga
UPDATE hanse_saga SET
    state = :state, attempt = 0, trouble = NULL, updated_at = :now,
    error = coalesce(error, :reason), failure = coalesce(failure, :failure),
    owner = CASE WHEN :state >= 3 THEN NULL ELSE owner END
WHERE id = :id;

-- name: attempt_failed
UPDATE hanse_saga SET attempt = :attempt, trouble = :trouble, updated_at = :now
WHERE id = :id AND fence = :fence AND owner IS NOT NULL AND state < 3;

-- name: saga_orphaned
SELECT id FROM hanse_saga
WHERE state < 3 AND owner IN (SELECT id FROM hanse_worker WHERE lease_until <= :now)
AND name IN (SELECT value FROM json_each(:names))
ORDER BY owner, id LIMIT :count;

-- name: saga_due
SELECT id FROM hanse_saga
WHERE state < 3 AND due IS NOT NULL AND due <= :now AND name IN (SELECT value FROM json_each(:names))
ORDER BY due, id LIMIT :count;

-- name: saga_owned
SELECT id FROM hanse_saga WHERE state < 3 AND owner = :owner ORDER BY id;

-- name: saga_adopt
UPDATE hanse_saga SET owner = :owner, fence = fence + 1, due = NULL, updated_at = :now
WHERE id IN (SELECT value FROM json_each(:ids)) AND state < 3
AND EXISTS (SELECT 1 FROM hanse_worker WHERE id = :owner AND lease_until > :now) AND (
    owner = :owner
    OR (due IS NOT NULL AND due <= :now)
    OR owner IN (SELECT id FROM hanse_worker WHERE lease_until <= :now)
)
RETURNING id, name, version, fence, attempt, input, correlation_id, traceparent, created_at, failure;

-- name: saga_marks
SELECT saga_id, step, kind, name, result, error FROM hanse_saga_step
WHERE saga_id IN (SELECT value FROM json_each(:ids)) ORDER BY saga_id, step, kind;

-- name: saga_unpark_marks
DELETE FROM hanse_saga_step WHERE saga_id = :id AND kind = 4;

-- name: saga_unpark
UPDATE hanse_saga SET
    state = EXISTS (SELECT 1 FROM hanse_saga_step WHERE saga_id = :id AND kind IN (2, 3)),
    owner = NULL, due = :now, attempt = 0, trouble = NULL, updated_at = :now
WHERE id = :id AND state = 5;

-- name: saga_set_aside
UPDATE hanse_saga SET state = 5, owner = NULL, trouble = :trouble, updated_at = :now
WHERE id = :id AND fence = :fence AND state < 3;

-- name: saga_read
SELECT id, name, version, state, attempt, trouble, error, correlation_id, traceparent, created_at, updated_at
FROM hanse_saga WHERE id = :id;

-- name: saga_steps
SELECT saga_id, step, kind, name, attempts, error, started_at, at FROM hanse_saga_step
WHERE saga_id IN (SELECT value FROM json_each(:ids)) ORDER BY saga_id, at, step, kind;

-- name: saga_list_live
SELECT id, name, version, state, attempt, trouble, error, correlation_id, traceparent, created_at, updated_at
FROM hanse_saga WHERE state < 3 ORDER BY created_at DESC, id DESC LIMIT :count;

-- name: saga_list_ended
SELECT id, name, version, state, attempt, trouble, error, correlation_id, traceparent, created_at, updated_at
FROM hanse_saga WHERE state >= 3 ORDER BY updated_at DESC, id DESC LIMIT :count;

-- name: saga_list_stuck
SELECT id, name, version, state, attempt, trouble, error, correlation_id, traceparent, created_at, updated_at
FROM hanse_saga WHERE state = 5 ORDER BY updated_at DESC, id DESC LIMIT :count;

-- name: saga_live
SELECT count(*) FROM hanse_saga WHERE state < 3;

-- name: saga_forget_steps
DELETE FROM hanse_saga_step WHERE saga_id IN (
    SELECT id FROM hanse_saga WHERE state >= 3 AND state <> 5 AND updated_at < :before ORDER BY updated_at LIMIT :count);

-- name: saga_forget
DELETE FROM hanse_saga WHERE id IN (
    SELECT id FROM hanse_saga WHERE state >= 3 AND state <> 5 AND updated_at < :before ORDER BY updated_at LIMIT :count);
