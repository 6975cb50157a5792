"""Superset in one process for a test: metadata in SQLite, no queue, no cache, no server around it."""
import os

SECRET_KEY = "a key for tests only, of no use elsewhere"
SQLALCHEMY_DATABASE_URI = "sqlite:///" + os.path.join(os.environ["SUPERSET_HOME"], "superset.db")
WTF_CSRF_ENABLED = False
RATELIMIT_ENABLED = False
TALISMAN_ENABLED = False
LOG_LEVEL = "ERROR"
