-- Why a saga is being undone, as its compensations are told: JSON of `Failure` (context.py).
ALTER TABLE hanse_saga ADD COLUMN failure TEXT;
