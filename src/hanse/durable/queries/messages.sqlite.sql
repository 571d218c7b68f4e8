-- name: outbox_insert
INSERT INTO hanse_outbox (attributes, data, created_at) VALUES (:attributes, :data, :now);

-- name: outbox_batch
SELECT id, attributes, data FROM hanse_outbox ORDER BY id LIMIT :count;

-- name: outbox_delete
DELETE FROM hanse_outbox WHERE id IN (SELECT value FROM json_each(:ids));

-- name: outbox_refuse
INSERT INTO hanse_outbox_refused (id, attributes, data, created_at, error)
SELECT id, attributes, data, created_at, :error FROM hanse_outbox WHERE id = :id
ON CONFLICT (id) DO NOTHING;

-- name: outbox_pending
SELECT EXISTS (SELECT 1 FROM hanse_outbox);

-- name: inbox_first
INSERT INTO hanse_inbox (consumer, message_id, at) VALUES (:consumer, :message_id, :now)
ON CONFLICT (consumer, message_id) DO NOTHING;

-- name: inbox_forget
DELETE FROM hanse_inbox WHERE (consumer, message_id) IN (
    SELECT consumer, message_id FROM hanse_inbox WHERE at < :before ORDER BY at LIMIT :count);

-- name: idempotency_begin
INSERT INTO hanse_idempotency (scope, key, fingerprint, at) VALUES (:scope, :key, :fingerprint, :now)
ON CONFLICT (scope, key) DO NOTHING;

-- name: idempotency_read
SELECT fingerprint, status, headers, body FROM hanse_idempotency WHERE scope = :scope AND key = :key;

-- name: idempotency_finish
UPDATE hanse_idempotency SET status = :status, headers = :headers, body = :body
WHERE scope = :scope AND key = :key AND status IS NULL;

-- name: idempotency_forget
DELETE FROM hanse_idempotency WHERE (scope, key) IN (
    SELECT scope, key FROM hanse_idempotency WHERE at < :before ORDER BY at LIMIT :count);

-- name: outbox_refused
SELECT attributes, error FROM hanse_outbox_refused ORDER BY id DESC LIMIT :count;
