"""Files of boxes: uploads and their quotas, publications, and logs. Uses the store and the tables; knows no routes."""
