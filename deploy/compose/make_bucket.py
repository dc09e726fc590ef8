"""Makes the bucket of MLflow's artifacts, unless it is there: the first job of ``deploy/compose.yaml``."""

import os
import sys

import boto3
from botocore.exceptions import BotoCoreError, ClientError

NOT_THERE = ("404", "NoSuchBucket")


def main() -> None:
    """Make the bucket BUCKET of the store at MLFLOW_S3_ENDPOINT_URL, with the credentials of boto3's own variables."""
    bucket, endpoint = os.environ["BUCKET"], os.environ["MLFLOW_S3_ENDPOINT_URL"]
    store = boto3.client("s3", endpoint_url=endpoint)
    try:
        try:
            store.head_bucket(Bucket=bucket)
            print(f"bucket {bucket} is there")
        except ClientError as error:
            if error.response["Error"]["Code"] not in NOT_THERE:
                raise
            store.create_bucket(Bucket=bucket)
            print(f"bucket {bucket} made")
    except (BotoCoreError, ClientError) as error:
        print(f"error: cannot make the bucket {bucket} at {endpoint}: {error}", file=sys.stderr)
        sys.exit(69)


if __name__ == "__main__":
    main()
