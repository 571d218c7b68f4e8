-- name: worker_register
INSERT INTO hanse_worker (name, lease_until, started_at) VALUES (:name, :until, :now) RETURNING id;

-- name: worker_heartbeat
UPDATE hanse_worker SET lease_until = :until WHERE id = :id AND lease_until > :now;

-- name: worker_retire
UPDATE hanse_worker SET lease_until = :now WHERE id = :id AND lease_until > :now;

-- name: worker_others
SELECT count(*) FROM hanse_worker WHERE lease_until > :now AND id <> :id;

-- name: worker_forget
DELETE FROM hanse_worker WHERE lease_until < :before
AND id NOT IN (SELECT owner FROM hanse_saga WHERE state < 3 AND owner IS NOT NULL)
AND id NOT IN (SELECT owner FROM hanse_lease);

-- name: lease_holder
SELECT hanse_lease.owner, hanse_worker.lease_until > :now
FROM hanse_lease LEFT JOIN hanse_worker ON hanse_worker.id = hanse_lease.owner WHERE hanse_lease.name = :name;

-- name: lease_take
INSERT INTO hanse_lease (name, owner, fence) VALUES (:name, :owner, 1)
ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, fence = fence + 1
WHERE owner <> excluded.owner
AND owner NOT IN (SELECT id FROM hanse_worker WHERE lease_until > :now);
